// The control for a ranking: choices in order of preference, and those that are not ranked.

import { CROSS, DOWN, fill, h, icon, UP } from "./dom.js";
import { t } from "./texts.js";

const PLUS = "M12 5v14M5 12h14";
const GRIP = "M9 6v.1M15 6v.1M9 12v.1M15 12v.1M9 18v.1M15 18v.1";

/** How close to the edge of the window a drag scrolls, and how far, in pixels. */
const EDGE = 64;
const SCROLLED = 12;

/**
 * Lets people rank `choices`, at most `most` of them. `ranked` has the ids of the ranking so far,
 * best first. The ranking is in the form as fields `choice`, in its order; every change is an event
 * `change` of the element.
 */
export function ranking(choices, { ranked = [], most = choices.length } = {}) {
  const texts = new Map(choices.map(({ id, choice_text: text }) => [id, text]));
  const chosen = h("ol", { class: "ranked", "aria-label": t("yourRanking") });
  const others = h("ul", { class: "unranked", "aria-label": t("notRanked") });
  const hint = h("p", { class: "hint" });
  const told = h("p", { class: "unseen", role: "status" });
  const element = h("div", { class: "ranking" }, chosen, hint, others, told);

  const tool = (name, path, work) =>
    h("button", { type: "button", class: "tool", "data-tool": name, onclick: work }, icon(path));

  function rankedRow(id) {
    const row = h("li", { class: "bar", "data-id": id },
      h("input", { type: "hidden", name: "choice", value: id }),
      h("span", { class: "handle", "aria-hidden": "true" }, icon(GRIP)),
      h("span", { class: "place", "aria-hidden": "true" }),
      h("span", { class: "text", dir: "auto" }, texts.get(id)),
      tool("rankHigher", UP, () => step(row, -1)),
      tool("rankLower", DOWN, () => step(row, 1)),
      tool("unrank", CROSS, () => unrank(row)));
    return row;
  }

  function otherRow(id) {
    const row = h("li", { "data-id": id },
      h("button", { type: "button", class: "bar", onclick: () => rank(row) },
        icon(PLUS), h("span", { class: "text", dir: "auto" }, texts.get(id))));
    return row;
  }

  /** Changes the lists: rows glide to their new places, and screen readers hear the result. */
  function change(work, id) {
    glide([...chosen.children, ...others.children], work);
    draw();
    const place = [...chosen.children].findIndex((row) => row.dataset.id === id) + 1;
    fill(told, place
      ? t("placed", { choice: texts.get(id), n: place, of: chosen.children.length })
      : t("unplaced", { choice: texts.get(id) }));
    element.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function rank(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    const added = rankedRow(row.dataset.id);
    change(() => {
      row.remove();
      chosen.append(added);
    }, row.dataset.id);
    (next?.querySelector("button:enabled") ?? added.querySelector("[data-tool=rankHigher]:enabled, button:enabled"))?.focus();
  }

  function unrank(row) {
    const { id } = row.dataset;
    const next = row.nextElementSibling ?? row.previousElementSibling;
    const order = [...texts.keys()];
    const behind = [...others.children].find((other) => order.indexOf(other.dataset.id) > order.indexOf(id));
    const freed = otherRow(id);
    change(() => {
      row.remove();
      others.insertBefore(freed, behind ?? null);
    }, id);
    (next?.querySelector("[data-tool=unrank]") ?? freed.querySelector("button")).focus();
  }

  /** Moves a row by one place. The focus stays on the control that was used. */
  function step(row, by) {
    const beside = by < 0 ? row.previousElementSibling : row.nextElementSibling;
    if (!beside) return;
    const focused = document.activeElement;
    change(() => (by < 0 ? beside.before(row) : beside.after(row)), row.dataset.id);
    const used = row.contains(focused) && focused.matches(":enabled") ? focused : row.querySelector(".tool:enabled");
    used.focus();
  }

  /** Writes places, names of controls, and what cannot be done now. */
  function draw() {
    const rows = [...chosen.children];
    rows.forEach((row, index) => {
      fill(row.querySelector(".place"), String(index + 1));
      for (const control of row.querySelectorAll("[data-tool]")) {
        control.setAttribute("aria-label", t(control.dataset.tool, { choice: texts.get(row.dataset.id), n: index + 1 }));
      }
      row.querySelector("[data-tool=rankHigher]").disabled = index === 0;
      row.querySelector("[data-tool=rankLower]").disabled = index === rows.length - 1;
    });
    const full = rows.length >= most;
    for (const row of others.children) {
      const control = row.firstChild;
      control.disabled = full;
      control.setAttribute("aria-label", t("rankAs", { choice: texts.get(row.dataset.id), n: rows.length + 1 }));
    }
    const more = others.children.length > 0;
    fill(hint, full && more ? t("rankingFull", { n: most }) : rows.length === 0 ? t("rankFirst") : more ? t("rankNext") : t("rankedAll"));
  }

  chosen.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    step(event.target.closest("li"), by);
  });
  chosen.addEventListener("pointerdown", (event) => {
    const handle = event.target.closest(".handle");
    if (handle && event.button === 0) drag(handle, event);
  });

  /** Follows the pointer until the handle is released. */
  function drag(handle, { pointerId }) {
    const row = handle.closest("li");
    const middle = (other) => {
      const { top, height } = other.getBoundingClientRect();
      return top + height / 2;
    };
    // Only the other rows move: a row that leaves the document loses the pointer.
    function follow({ clientY }) {
      const { previousElementSibling: above, nextElementSibling: below } = row;
      if (above && clientY < middle(above)) change(() => row.after(above), row.dataset.id);
      else if (below && clientY > middle(below)) change(() => row.before(below), row.dataset.id);
      if (clientY < EDGE) scrollBy(0, -SCROLLED);
      else if (clientY > innerHeight - EDGE) scrollBy(0, SCROLLED);
    }
    const released = new AbortController();
    handle.setPointerCapture(pointerId);
    row.classList.add("dragged");
    handle.addEventListener("pointermove", follow, { signal: released.signal });
    handle.addEventListener("lostpointercapture", () => {
      released.abort();
      row.classList.remove("dragged");
    }, { signal: released.signal });
  }

  const known = ranked.filter((id) => texts.has(id));
  chosen.append(...known.map(rankedRow));
  others.append(...[...texts.keys()].filter((id) => !known.includes(id)).map(otherRow));
  draw();
  return element;
}

/** Changes the positions of `rows` by `work`, and lets them glide there where motion is allowed. */
function glide(rows, work) {
  const top = (row) => row.getBoundingClientRect().top;
  const before = rows.map(top);
  work();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  rows.forEach((row, index) => {
    const distance = row.isConnected && !row.classList.contains("dragged") ? before[index] - top(row) : 0;
    if (distance) row.animate([{ transform: `translateY(${distance}px)` }, {}], { duration: 160, easing: "ease-out" });
  });
}
