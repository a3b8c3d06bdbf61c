// Building the document without a framework: elements from plain calls, text always as text.

/**
 * Makes an element. `on…` properties are listeners; `true` sets an attribute without a value;
 * `false`, `null` and `undefined` leave it out. Children may be nodes, text, or nested lists.
 */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...flat(children));
  return element;
}

/** Replaces the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** The main heading of a page, which gets the focus when the page is shown. */
export const heading = (text) => h("h1", { tabindex: "-1", dir: "auto" }, text);

/** A row of buttons. */
export const buttons = (...children) => h("div", { class: "buttons" }, ...children);

const SVG = "http://www.w3.org/2000/svg";

/** The paths of icons that several forms have. */
export const UP = "M12 19V5m0 0l-6 6m6-6l6 6";
export const DOWN = "M12 5v14m0 0l-6-6m6 6l6-6";
export const CROSS = "M6 6l12 12M18 6L6 18";

/** One of the page's few icons, drawn from a path. */
export function icon(path) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  drawing.append(line);
  return drawing;
}

let last = 0;

/** A new element id. */
export const newId = () => `e${++last}`;

/** Waits; rejects when `signal` is aborted. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(done, milliseconds);
    function done() {
      signal?.removeEventListener("abort", stop);
      resolve();
    }
    function stop() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** The pause before the next attempt: exponential backoff with jitter. */
export const backOff = (attempt, most = 8000) =>
  Math.min(most, 300 * 2 ** attempt) * (0.75 + Math.random() / 2);

let hushing;
let said;

/**
 * Shows a message for some seconds; screen readers read it, too. While a dialog is open, they read
 * nothing outside of it, so that the message is shown within.
 */
export function toast(text) {
  hush();
  said = [...document.querySelectorAll("dialog[open] > .toast")].at(-1) ?? document.getElementById("toast");
  said.textContent = text;
  hushing = setTimeout(hush, 6000);
}

/** Removes the message. */
export function hush() {
  clearTimeout(hushing);
  if (said) said.textContent = "";
}
