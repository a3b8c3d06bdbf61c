// Forms: fields with labels and the server's validation errors.

import { NotLoaded, Problem, startAgain, Unreachable } from "./api.js";
import { buttons, fill, h, newId } from "./dom.js";
import { explain, explainField, t } from "./texts.js";

/** A labelled control. `pointer` is the JSON pointer of its value in the request body. */
export function field(label, control, { pointer, hint, optional } = {}) {
  control.id ||= newId();
  if (pointer) control.dataset.pointer = pointer;
  const note = hint && h("p", { class: "hint", id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  const more = optional && h("span", { class: "optional" }, ` ${t("optional")}`);
  return h("div", { class: "field" }, h("label", { for: control.id }, label, more), control, note);
}

/** An input. Text may be written in either direction. */
export const input = (name, properties = {}) =>
  h("input", { name, dir: !properties.type && "auto", ...properties });

/** A check box with its label. With `required`, the form is submitted only if it is ticked. */
export const check = (name, label, properties = {}) =>
  h("div", { class: "field" }, h("label", { class: "check" }, input(name, { type: "checkbox", ...properties }), label));

export const select = (name, chosen, options) =>
  h("select", { name }, Object.entries(options).map(([value, label]) =>
    h("option", { value, selected: value === chosen }, label)));

/**
 * A form that calls `work` when it is submitted, shows errors, and cannot be submitted again
 * meanwhile.
 */
export function form(properties, work, ...children) {
  const alert = h("div", { class: "alert", role: "alert" });
  // The server validates, and returns all errors at once.
  const element = h("form", { novalidate: true, ...properties }, alert, ...children);
  let busy = false;
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    clear(element);
    element.setAttribute("aria-busy", "true");
    try {
      if (missing(element)) return;
      await work(new FormData(element), event.submitter);
    } catch (error) {
      complain(element, error);
    } finally {
      busy = false;
      element.removeAttribute("aria-busy");
    }
  });
  return element;
}

function clear(element) {
  fill(element.querySelector(".alert"));
  for (const error of element.querySelectorAll(".error")) error.remove();
  for (const control of element.querySelectorAll("[aria-invalid]")) {
    control.removeAttribute("aria-invalid");
    describe(control, (ids) => ids.filter((id) => !id.endsWith("-error")));
  }
}

function describe(control, change) {
  const ids = change((control.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean));
  if (ids.length) control.setAttribute("aria-describedby", ids.join(" "));
  else control.removeAttribute("aria-describedby");
}

/** Complains about the check boxes that must be ticked and are not. */
function missing(element) {
  const unticked = element.querySelectorAll("[type=checkbox][required]:not(:checked)");
  for (const control of unticked) blame(control, t("tickFirst"));
  return showFirst(element);
}

/** Shows an error next to its fields, or above the form. */
export function complain(element, error) {
  if (error?.name === "AbortError") return;
  const controls = [...element.querySelectorAll("[data-pointer]")];
  const rest = [];
  for (const one of error.errors ?? []) {
    const control = controls.find((control) => control.dataset.pointer === one.pointer);
    if (control) blame(control, explainField(one));
    else rest.push(one);
  }
  if (showFirst(element) && !rest.length) return;
  const place = element.querySelector(".alert");
  fill(place, h("p", {}, say(error)), rest.map((one) => h("p", {}, explainField(one))));
  place.scrollIntoView({ block: "nearest" });
}

/** Moves to the first wrong control in the order of the form; returns whether there is one. */
function showFirst(element) {
  const control = element.querySelector("[aria-invalid]");
  if (!control) return false;
  const details = control.closest("details");
  if (details) details.open = true;
  const target = control.matches("fieldset") ? control.querySelector("input, button") : control;
  target.focus({ preventScroll: true });
  document.getElementById(`${control.id}-error`).scrollIntoView({ block: "center" });
  return true;
}

/** Writes `text` next to a control; in a group, before its controls. */
function blame(control, text) {
  control.id ||= newId();
  const note = h("p", { class: "error", id: `${control.id}-error` }, text);
  control.setAttribute("aria-invalid", "true");
  describe(control, (ids) => [...ids, note.id]);
  if (control.matches("fieldset")) control.querySelector("legend").after(note);
  else control.closest(".field").append(note);
}

/** The message for an error. */
export function say(error) {
  if (error instanceof Problem) {
    const id = error.status >= 500 && error.requestId;
    return id ? `${explain(error)} ${t("requestId", { id })}` : explain(error);
  }
  if (error instanceof Unreachable) return t("unreachable");
  if (error instanceof NotLoaded) return t("notLoaded");
  console.error(error);
  return t("trouble");
}

/** What an error says, with a button that does `work` again until `signal` is aborted. */
export const failure = (error, work, signal) => [
  h("p", { class: "error", role: "alert" }, say(error)),
  buttons(action(t("tryAgain"), () => (error instanceof NotLoaded ? startAgain(signal) : work()))),
];

/** A button that calls `work`, and shows an error above `place`. */
export function action(label, work, properties = {}) {
  const button = h("button", { type: "button", ...properties }, label);
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");
    try {
      await work();
    } catch (error) {
      if (error?.name !== "AbortError") await inform(say(error));
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
  return button;
}

/**
 * A dialog; `content` gets the function that closes it. The promise is fulfilled once it is closed,
 * with what that function was given.
 */
export function dialog(title, content) {
  const heading = h("h2", { id: newId() }, title);
  const box = h("dialog", { "aria-labelledby": heading.id });
  let result;
  const leave = (with_) => {
    result = with_;
    box.close();
  };
  const cancel = () => leave();
  fill(box, heading, content(leave), h("p", { class: "toast", role: "status" }));
  document.body.append(box);
  box.showModal();
  const gone = new Promise((resolve) => box.addEventListener("close", resolve));
  // The back button closes the dialog, too.
  addEventListener("popstate", cancel, { once: true });
  return gone.then(() => {
    removeEventListener("popstate", cancel);
    box.remove();
    return result;
  });
}

/** A button that closes a dialog. */
export const closer = (label, leave, properties = {}) =>
  h("button", { type: "button", onclick: () => leave(), ...properties }, label);

function inform(text) {
  return dialog(t("trouble"), (leave) => [
    h("p", {}, text),
    buttons(closer(t("close"), leave)),
  ]);
}

/**
 * A dialog that confirms `work`, and stays open if that fails. Returns whether it was done. The
 * focus is on the button that does nothing. `fields` go into the dialog's form.
 */
export function confirm(title, text, label, work, ...fields) {
  return dialog(title, (leave) =>
    form({ class: "plain" },
      async (data) => {
        await work(data);
        leave(true);
      },
      h("p", {}, text),
      fields,
      buttons(
        h("button", { class: "primary" }, label),
        closer(t("cancel"), leave, { autofocus: true }),
      ),
    ),
  );
}
