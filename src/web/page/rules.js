// The editor's fields about votes: what a ballot says, how ballots are counted, who is elected.

import { fill, h } from "./dom.js";
import { check, field, input, select } from "./form.js";
import { t } from "./texts.js";

/** The methods for each sort of ballot, the usual one first. */
const METHODS = {
  ranking: ["instant_runoff", "single_transferable_vote", "ranked_pairs", "borda"],
  stars: ["star", "score"],
};
const ONE_SEAT = ["instant_runoff", "ranked_pairs", "star"];
const SHOWS_TIES = ["multiple_choice", "borda", "score"];

/** The highest score where a question does not say otherwise. */
const MAX_SCORE = 5;

const part = (numerator, denominator, exceed) => ({ numerator, denominator, of: "votes_cast", exceed });
const THRESHOLDS = { half: part(1, 2, true), twoThirds: part(2, 3, false), threeQuarters: part(3, 4, false) };

/** The rules of a question as the values of the controls. */
export function ruleValues(question) {
  const { method, min_choices: min, choices, threshold } = question;
  const rules = rulesOf(question);
  const text = (value) => (value === null ? "" : String(value));
  const known = Object.keys(THRESHOLDS).find((name) => JSON.stringify(THRESHOLDS[name]) === JSON.stringify(ordered(threshold)));
  return {
    answers: answersOf(question),
    ranking_method: METHODS.ranking.includes(method) ? method : METHODS.ranking[0],
    stars_method: METHODS.stars.includes(method) ? method : METHODS.stars[0],
    min_choices: min === 1 ? "" : String(min),
    // Without a limit, all may be chosen.
    max_choices: rules.max_choices > 1 && rules.max_choices < choices.length ? String(rules.max_choices) : "",
    seats: rules.seats > 1 ? String(rules.seats) : "",
    max_score: text(rules.max_score),
    quorum: text(rules.quorum),
    threshold: threshold ? known ?? JSON.stringify(ordered(threshold)) : "",
    lot: rules.tie_break === "lot",
  };
}

/** The rules of a question as they are sent: null where the method's default holds. */
export function rulesOf({ method, seats, max_choices: max, choices, max_score: score, tie_break: ties, quorum, threshold }) {
  return {
    method,
    seats,
    max_choices: method !== "multiple_choice" && max === choices.length ? null : max,
    max_score: method === "score" && score !== MAX_SCORE ? score : null,
    tie_break: SHOWS_TIES.includes(method) ? ties : null,
    quorum: quorum ?? null,
    threshold: threshold ? ordered(threshold) : null,
  };
}

/** The number that a control has, or `otherwise` if it is empty. The server refuses 0. */
export const wholeNumber = (text, otherwise) => (text ? (/^\d{1,9}$/.test(text) ? Number(text) : 0) : otherwise);

/** What is sent of the controls, for a question with this number of choices. */
export function rulesBody(data, choices) {
  const answers = data.get("answers");
  const method = methodOf((name) => data.get(name));
  const number = (name, otherwise) => wholeNumber(data.get(name), otherwise);
  const several = answers === "several" ? Math.min(Math.max(choices, 1), 100) : null;
  const threshold = data.get("threshold");
  return {
    method,
    seats: ONE_SEAT.includes(method) ? 1 : number("seats", 1),
    min_choices: answers === "one" ? Math.min(number("min_choices", 1), 1) : number("min_choices", 1),
    max_choices: answers === "one" ? 1 : number("max_choices", several),
    max_score: method === "score" ? number("max_score", null) : null,
    tie_break: SHOWS_TIES.includes(method) ? (data.has("lot") ? "lot" : "none") : null,
    quorum: number("quorum", null),
    threshold: method === "multiple_choice" && threshold ? THRESHOLDS[threshold] ?? JSON.parse(threshold) : null,
  };
}

/** The controls: the sort of answers, and what goes beneath "more options". */
export function ruleFields(values, settled) {
  const choose = (name, options) => {
    const control = select(name, values[name], options);
    control.disabled = settled;
    return control;
  };
  const named = (methods) => Object.fromEntries(methods.map((method) => [method, t(method)]));
  const number = (name, label, { min = "1", max, ...rest }, options) => field(label, input(name, {
    type: "number", min, max, inputmode: "numeric", value: values[name], disabled: settled, ...rest,
  }), { pointer: `/${name}`, ...options });
  const answers = choose("answers", {
    one: t("oneChoice"), several: t("severalChoices"), ranking: t("ranking"), stars: t("stars"),
  });
  const ranking = choose("ranking_method", named(METHODS.ranking));
  const stars = choose("stars_method", named(METHODS.stars));
  const about = h("p", { class: "hint" });
  const thresholds = { "": t("noThreshold"), half: t("half"), twoThirds: t("twoThirds"), threeQuarters: t("threeQuarters") };
  if (values.threshold && !thresholds[values.threshold]) {
    const { numerator, denominator } = JSON.parse(values.threshold);
    thresholds[values.threshold] = `${numerator}/${denominator}`;
  }
  const parts = {
    ranking: field(t("method"), ranking, { pointer: "/method" }),
    stars: field(t("method"), stars, { pointer: "/method" }),
    counts: h("fieldset", { class: "row" }, h("legend", {}, t("howMany")),
      number("min_choices", t("min"), { min: "0", max: "100", placeholder: "1" }),
      number("max_choices", t("max"), { max: "100", placeholder: t("noLimit") })),
    seats: number("seats", t("seats"), { max: "99", placeholder: "1" }, { hint: t("seatsHint") }),
    score: number("max_score", t("maxScore"), { max: "100", placeholder: String(MAX_SCORE) }),
    quorum: number("quorum", t("quorum"), {}, { optional: true, hint: t("quorumHint") }),
    threshold: field(t("threshold"), choose("threshold", thresholds), { pointer: "/threshold" }),
    lot: check("lot", t("lot"), { checked: values.lot, disabled: settled }),
  };

  /** Shows what the method has. */
  function show() {
    const method = methodOf((name) => ({ answers, ranking_method: ranking, stars_method: stars })[name].value);
    parts.ranking.hidden = answers.value !== "ranking";
    parts.stars.hidden = answers.value !== "stars";
    parts.counts.hidden = answers.value === "one";
    parts.seats.hidden = ONE_SEAT.includes(method);
    parts.score.hidden = method !== "score";
    parts.threshold.hidden = method !== "multiple_choice";
    parts.lot.hidden = !SHOWS_TIES.includes(method);
    about.hidden = method === "multiple_choice";
    fill(about, about.hidden ? null : t(`about_${method}`));
  }
  for (const control of [answers, ranking, stars]) control.addEventListener("change", show);
  show();
  return {
    answers: [field(t("answers"), answers), about],
    more: Object.values(parts),
  };
}

/** The method of the controls, of which `value` reads one. */
function methodOf(value) {
  const kind = value("answers");
  return kind === "ranking" || kind === "stars" ? value(`${kind}_method`) : "multiple_choice";
}

function answersOf({ method, max_choices: max }) {
  const kind = Object.keys(METHODS).find((kind) => METHODS[kind].includes(method));
  return kind ?? (max > 1 ? "several" : "one");
}

/** A threshold with its fields in one order, so that two can be compared. */
const ordered = (threshold) => threshold
  && { numerator: threshold.numerator, denominator: threshold.denominator, of: threshold.of, exceed: threshold.exceed ?? false };
