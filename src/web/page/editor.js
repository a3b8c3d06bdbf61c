// The form to ask a question, and to change one.

import { api } from "./api.js";
import { buttons, h, heading, icon, toast } from "./dom.js";
import { field, form, input, select } from "./form.js";
import { isSignedIn } from "./session.js";
import { t } from "./texts.js";

const UP = "M12 19V5m0 0l-6 6m6-6l6 6";
const DOWN = "M12 5v14m0 0l-6-6m6 6l6-6";
const CROSS = "M6 6l12 12M18 6L6 18";

export async function editor({ id, signal, go, drafts }) {
  if (!isSignedIn()) return void (await go(`/login?next=${encodeURIComponent(location.pathname)}`, { replace: true }));
  let question = id ? await api("GET", `/questions/${id}`, { signal }) : fresh(drafts);
  // These fields cannot be changed once there are ballots.
  const settled = Boolean(question.ballot_count);
  const rows = choices(question.choices, settled);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const time = (name, label, value, disabled) =>
    field(label, input(name, { type: "datetime-local", value: value ? local(value) : "", disabled }),
      { pointer: `/${name}`, optional: true, hint: t("localTime", { zone }) });
  const count = (name, label, value) =>
    field(label, input(name, { type: "number", min: "1", max: "100", inputmode: "numeric", value: String(value), disabled: settled }),
      { pointer: `/${name}` });
  const visibility = select("results_visibility", question.results_visibility,
    { always: t("always"), after_vote: t("after_vote"), after_close: t("after_close"), author: t("author") });
  visibility.disabled = settled;

  const title = t(id ? "editQuestion" : "newQuestion");
  return {
    title,
    content: [
      heading(title),
      settled && h("p", { class: "note" }, t("settled")),
      form({ class: "editor" },
        async (data) => {
          const body = read(data, settled);
          if (!id) {
            const asked = await api("POST", "/questions", { body: { ...dropNulls(body), choices: rows.texts() } });
            return go(`/questions/${asked.id}`, { replace: true });
          }
          try {
            await change(question, body, rows.values());
          } catch (error) {
            // Part of it may be saved, so read it again; after a 412 the user should look first.
            if (error.status !== 412) question = await api("GET", `/questions/${id}`, { signal });
            throw error;
          }
          toast(t("saved"));
          return go(`/questions/${id}`, { replace: true });
        },
        field(t("question"), input("question_text", { value: question.question_text, maxlength: "200", disabled: settled, "data-first": !id }), { pointer: "/question_text" }),
        field(t("description"), h("textarea", { name: "description", rows: "3", maxlength: "2000" }, question.description ?? ""), { pointer: "/description", optional: true }),
        rows.fieldset,
        h("fieldset", { class: "row" }, h("legend", {}, t("howMany")),
          count("min_choices", t("min"), question.min_choices), count("max_choices", t("max"), question.max_choices)),
        h("div", { class: "row" },
          time("opens_at", t("opensAt"), question.opens_at, settled),
          time("closes_at", t("closesAt"), question.closes_at, question.status === "closed")),
        field(t("visibility"), visibility, { pointer: "/results_visibility" }),
        h("label", { class: "check" },
          input("allow_change", { type: "checkbox", checked: question.allow_change, disabled: settled }), t("allowChange")),
        buttons(
          h("button", { class: "primary" }, t(id ? "save" : "publish")),
          h("a", { href: id ? `/questions/${id}` : "/questions", class: "button" }, t("cancel")))),
    ],
  };
}

/** A new question, with as many rows of choices as were begun. */
function fresh(drafts) {
  const begun = drafts?.[0]?.filter(({ name }) => name === "choice").length ?? 2;
  return {
    question_text: "", min_choices: 1, max_choices: 1, allow_change: true, results_visibility: "always",
    choices: Array.from({ length: begun }, () => ({ choice_text: "" })),
  };
}

/** The rows of choices, which can be added to, removed, and moved. */
function choices(given, settled) {
  const list = h("ol", { class: "choices" });
  const fieldset = h("fieldset", { "data-pointer": "/choices" },
    h("legend", {}, t("choices")), list,
    h("button", { type: "button", onclick: () => add({ choice_text: "" }).focus() }, t("addChoice")));

  function add({ id, choice_text: text }) {
    const box = input("choice", { value: text, maxlength: "200", disabled: settled && Boolean(id) });
    const tool = (path, name, work) => h("button", { type: "button", class: "tool", "data-label": name, onclick: work }, icon(path));
    const row = h("li", { class: "field", "data-choice": id },
      box,
      tool(UP, "moveUp", () => move(row, row.previousElementSibling, "before", "moveUp")),
      tool(DOWN, "moveDown", () => move(row, row.nextElementSibling, "after", "moveDown")),
      !(settled && id) && tool(CROSS, "removeChoice", () => {
        const next = row.nextElementSibling ?? row.previousElementSibling;
        row.remove();
        label();
        next?.querySelector("input").focus();
      }));
    // Enter goes to the next choice instead of submitting the form.
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      (row.nextElementSibling?.querySelector("input") ?? add({ choice_text: "" })).focus();
    });
    list.append(row);
    label();
    return box;
  }

  function move(row, beside, where, name) {
    beside?.[where](row);
    label();
    row.querySelector(`[data-label=${name}]`).focus();
  }

  /** Numbers labels, screen reader names and JSON pointers by position. */
  function label() {
    [...list.children].forEach((row, index) => {
      const n = index + 1;
      const box = row.querySelector("input");
      box.setAttribute("aria-label", t("choiceNumber", { n }));
      box.placeholder = t("choiceNumber", { n });
      box.dataset.pointer = `/choices/${index}/choice_text`;
      for (const tool of row.querySelectorAll("[data-label]")) {
        tool.setAttribute("aria-label", t(tool.dataset.label, { n }));
      }
    });
  }

  given.forEach(add);
  const values = () => [...list.children].map((row) =>
    ({ row, id: row.dataset.choice, choice_text: row.querySelector("input").value }));
  return {
    fieldset,
    values,
    /** For a new question: empty rows at the end are left out. */
    texts: () => {
      const all = values().map(({ choice_text }) => ({ choice_text }));
      while (all.length > 2 && !all.at(-1).choice_text.trim()) all.pop();
      return all;
    },
  };
}

function read(data, settled) {
  const time = (name) => (data.get(name) ? new Date(data.get(name)).toISOString() : null);
  const free = { description: data.get("description") || null };
  if (data.has("closes_at")) free.closes_at = time("closes_at");
  if (settled) return free;
  const whole = (name) => (/^\d{1,9}$/.test(data.get(name)) ? Number(data.get(name)) : 0);
  return {
    question_text: data.get("question_text"),
    ...free,
    min_choices: whole("min_choices"),
    max_choices: whole("max_choices"),
    opens_at: time("opens_at"),
    results_visibility: data.get("results_visibility"),
    allow_change: data.has("allow_change"),
  };
}

const dropNulls = (body) => Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));

/** Saves a question: adds choices, changes fields, then deletes choices, so that limits always fit. */
async function change(question, body, wanted) {
  const path = `/questions/${question.id}`;
  const kept = wanted.filter(({ id }) => id);
  const gone = question.choices.filter(({ id }) => !kept.some((choice) => choice.id === id));
  const changed = Object.fromEntries(Object.entries(body).filter(([key, value]) =>
    !same(value, question[key] ?? null)));
  // The revision that was read, so that another's change in between is not overwritten.
  let revision = question.revision;
  const once = () => {
    const given = revision;
    revision = undefined;
    return given;
  };
  /** A call for one choice. Errors name it by its position in the form. */
  async function at(position, method, end, body) {
    try {
      return await api(method, `${path}/choices${end}`, { body, revision: once() });
    } catch (error) {
      for (const one of error.errors ?? []) one.pointer = `/choices/${position}${one.pointer}`;
      throw error;
    }
  }
  for (const [position, choice] of wanted.entries()) {
    if (choice.id) continue;
    choice.id = (await at(position, "POST", "", { choice_text: choice.choice_text })).id;
    choice.row.dataset.choice = choice.id;
  }
  if (Object.keys(changed).length) await api("PATCH", path, { body: changed, revision: once() });
  for (const { id } of gone) await api("DELETE", `${path}/choices/${id}`, { revision: once() });
  const before = question.choices.filter(({ id }) => !gone.some((choice) => choice.id === id)).map(({ id }) => id);
  const order = [...before, ...wanted.map(({ id }) => id).filter((id) => !before.includes(id))];
  for (const [position, { id, choice_text: text }] of wanted.entries()) {
    const old = question.choices.find((choice) => choice.id === id);
    const change = {};
    if (old && old.choice_text !== text) change.choice_text = text;
    if (order[position] !== id) {
      change.position = position;
      order.splice(order.indexOf(id), 1);
      order.splice(position, 0, id);
    }
    if (Object.keys(change).length) await at(position, "PATCH", `/${id}`, change);
  }
}

/** Whether nothing has changed. The form has no seconds. */
function same(one, other) {
  if (one === other) return true;
  const times = [one, other].every((value) => typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value));
  return times && local(one) === local(other);
}

/** A time as `datetime-local` controls have it. */
function local(moment) {
  const time = new Date(moment);
  return new Date(time - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
