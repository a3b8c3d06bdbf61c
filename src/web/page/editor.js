// The form to ask a question, and to change one.

import { api } from "./api.js";
import { choices } from "./choices.js";
import { buttons, h, heading, toast } from "./dom.js";
import { draftHere } from "./drafts.js";
import { electorateBody, electorateFields, electorateValues } from "./electorate.js";
import { action, check, confirm, field, form, input, select } from "./form.js";
import { ruleFields, rulesBody, rulesOf, ruleValues } from "./rules.js";
import { isSignedIn, loginPath } from "./session.js";
import { t } from "./texts.js";

const NEW = {
  question_text: "", method: "multiple_choice", seats: 1, min_choices: 1, max_choices: 1, tie_break: "none", allow_change: true, results_visibility: "always",
  // Whoever asks a question here sends its link to people, who need no account.
  electorate: "anyone", ballot_secrecy: "secret", listed: false,
  choices: [{ choice_text: "" }, { choice_text: "" }],
};

/** Changes the question `id`, or asks a new one, which may begin as a copy of another. */
export async function editor({ id, query, offers, signal, go }) {
  if (!isSignedIn()) return void (await go(loginPath(), { replace: true }));
  const read = (id) => api("GET", `/questions/${id}`, { signal });
  const from = query.get("from");
  let question = id ? await read(id) : from ? copyOf(await read(from)) : NEW;
  // These fields cannot be changed once there are ballots.
  const settled = Boolean(question.ballot_count);
  const draft = draftHere();
  const begun = draft.read();
  const values = begun ? resumed(begun, question, settled) : valuesOf(question);
  const rows = choices(values.choices, settled);

  const element = form({ class: "editor", onkeydown: enterMovesOn },
    async (data) => {
      const wanted = rows.filled();
      const body = bodyOf(data, wanted.length, settled);
      if (!id) {
        const texts = wanted.map(({ choice_text }) => ({ choice_text }));
        const asked = await api("POST", "/questions", { body: { ...dropNulls(body), choices: texts } });
        draft.discard();
        return go(`/questions/${asked.id}?ready`, { replace: true });
      }
      try {
        await change(question, body, wanted);
      } catch (error) {
        // Part of it may be saved, so read it again; after a 412 the user should look first.
        if (error.status !== 412) question = await read(id);
        keepDraft();
        throw error;
      }
      draft.discard();
      toast(t("saved"));
      return go(`/questions/${id}`, { replace: true });
    },
    fields(values, rows.fieldset, { settled, offers, closed: question.status === "closed", first: !id && !begun }),
    buttons(
      h("button", { class: "primary" }, t(id ? "save" : "publish")),
      action(t("cancel"), async () => {
        if (draft.read() && !await discard()) return;
        await go(id ? `/questions/${id}` : "/questions", { replace: true });
      })));

  /** Keeps what is written, unless it is what the question has anyway. */
  function keepDraft() {
    const control = (name) => element.elements.namedItem(name);
    const value = (name) => control(name).type === "checkbox" ? control(name).checked : control(name).value;
    const names = Object.keys(values);
    const now = Object.fromEntries(names.map((name) => [name, name === "choices" ? rows.written() : value(name)]));
    if (JSON.stringify(now) === JSON.stringify(valuesOf(question))) draft.discard();
    else draft.write({ ...now, revision: question.revision });
  }
  element.addEventListener("input", keepDraft);

  const discard = () => confirm(t("discardDraft"), t("discardSure"), t("discardDraft"), draft.discard);
  const title = t(id ? "editQuestion" : "newQuestion");
  return {
    title,
    content: [
      heading(title),
      settled && h("p", { class: "note" }, t("settled")),
      begun && h("div", { class: "note restored" },
        h("p", {}, t(begun.revision === question.revision ? "draftRestored" : "draftOutdated")),
        action(t("discardDraft"), async () => {
          if (await discard()) await go(location.pathname + location.search, { replace: true });
        })),
      element,
    ],
  };
}

function fields(values, choices, { settled, offers, closed, first }) {
  const text = { value: values.question_text, maxlength: "200", disabled: settled, "data-first": first };
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const time = (name, label, disabled) =>
    field(label, input(name, { type: "datetime-local", value: values[name], disabled }),
      { pointer: `/${name}`, optional: true, hint: t("localTime", { zone }) });
  const visibility = select("results_visibility", values.results_visibility,
    { always: t("always"), after_vote: t("after_vote"), after_close: t("after_close"), author: t("author") });
  visibility.disabled = settled;
  const rules = ruleFields(values, settled);
  const electorate = electorateFields(values, settled, offers);
  const usual = valuesOf(NEW);
  const options = Object.keys(usual).filter((name) =>
    !["question_text", "description", "choices", "answers", "electorate", "listed", "closes_at"].includes(name));
  return [
    field(t("question"), input("question_text", text), { pointer: "/question_text" }),
    field(t("description"), h("textarea", { name: "description", dir: "auto", rows: "3", maxlength: "2000" }, values.description),
      { pointer: "/description", optional: true }),
    choices,
    rules.answers,
    electorate.who,
    electorate.listed,
    time("closes_at", t("closesAt"), closed),
    h("details", { open: options.some((name) => values[name] !== usual[name]) },
      h("summary", {}, t("moreOptions")),
      rules.more,
      electorate.more,
      time("opens_at", t("opensAt"), settled),
      field(t("visibility"), visibility, { pointer: "/results_visibility" }),
      check("allow_change", t("allowChange"), { checked: values.allow_change, disabled: settled })),
  ];
}

/** Enter goes to the next field: a form this long should not be sent by accident. */
function enterMovesOn(event) {
  if (event.key !== "Enter" || event.isComposing || event.defaultPrevented || !event.target.matches("input")) return;
  event.preventDefault();
  const controls = [...event.currentTarget.querySelectorAll("input, textarea, select, summary, .primary")]
    .filter((control) => !control.disabled && control.checkVisibility());
  controls[controls.indexOf(event.target) + 1].focus();
}

/** The question to be asked again: everything but its times. */
function copyOf({ choices, closes_at, opens_at, ballot_count, revision, ...question }) {
  return { ...question, choices: choices.map(({ choice_text }) => ({ choice_text })) };
}

/** A question as the values of the form's controls. */
function valuesOf(question) {
  return {
    question_text: question.question_text,
    description: question.description ?? "",
    choices: question.choices.map(({ id, choice_text }) => ({ id, choice_text })),
    ...ruleValues(question),
    closes_at: local(question.closes_at),
    opens_at: local(question.opens_at),
    results_visibility: question.results_visibility,
    ...electorateValues(question),
    allow_change: question.allow_change,
  };
}

/** A draft on top of the question as it is now, which may have changed since. */
function resumed({ revision, ...draft }, question, settled) {
  const now = valuesOf(question);
  const current = (id) => now.choices.find((choice) => choice.id === id);
  const kept = draft.choices
    .filter(({ id }) => !id || current(id))
    .map((choice) => (settled && choice.id ? current(choice.id) : choice));
  // A draft deletes neither what it does not know nor what can no longer be deleted.
  const others = settled || revision !== question.revision
    ? now.choices.filter(({ id }) => !kept.some((choice) => choice.id === id))
    : [];
  const free = settled ? { description: draft.description, listed: draft.listed ?? now.listed, closes_at: draft.closes_at } : draft;
  return { ...now, ...free, choices: [...kept, ...others] };
}

/** What is sent of the form, apart from the choices. */
function bodyOf(data, choices, settled) {
  const time = (name) => (data.get(name) ? new Date(data.get(name)).toISOString() : null);
  const free = { description: data.get("description") || null, listed: data.has("listed") };
  if (data.has("closes_at")) free.closes_at = time("closes_at");
  if (settled) return free;
  return {
    question_text: data.get("question_text"),
    ...free,
    ...rulesBody(data, choices),
    opens_at: time("opens_at"),
    results_visibility: data.get("results_visibility"),
    ...electorateBody(data),
    allow_change: data.has("allow_change"),
  };
}

const dropNulls = (body) => Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));

/** Saves a question: adds choices, changes fields, then deletes choices, so that limits always fit. */
async function change(question, body, wanted) {
  const path = `/questions/${question.id}`;
  const kept = wanted.filter(({ id }) => id);
  const gone = question.choices.filter(({ id }) => !kept.some((choice) => choice.id === id));
  const now = { ...question, ...rulesOf(question) };
  const changed = Object.fromEntries(Object.entries(body).filter(([key, value]) =>
    !same(value, now[key] ?? null)));
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

/** Whether both are the same. The form has no seconds. */
function same(one, other) {
  if (one === other) return true;
  if (one && typeof one === "object") return JSON.stringify(one) === JSON.stringify(other);
  const times = [one, other].every((value) => typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value));
  return times && local(one) === local(other);
}

/** A time, if any, as `datetime-local` controls have it. */
function local(moment) {
  if (!moment) return "";
  const time = new Date(moment);
  return new Date(time - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
