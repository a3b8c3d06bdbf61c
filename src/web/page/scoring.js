// The control for scores: a row of radio buttons for each choice, or a number where there are many.

import { h } from "./dom.js";
import { t } from "./texts.js";

/** The highest score that is shown as radio buttons. */
const BUTTONS = 10;

const name = (id) => `score.${id}`;

/** Lets people give each choice a score of 0 to `most`. `given` has the scores of a ballot. */
export function scoring(choices, { given = [], most }) {
  const before = new Map(given.map(({ choice_id: id, score }) => [id, score]));
  const row = most <= BUTTONS ? scale : figure;
  return h("div", { class: "scoring" },
    h("p", { class: "hint" }, t("scoreHint", { most })),
    choices.map((choice) => row(choice, most, before.get(choice.id))));
}

/** The ballot that the controls within a form say: choices with a score of 0 are left out. */
export function scores(choices, data) {
  return choices
    .map(({ id }) => ({ choice_id: id, score: Number(data.get(name(id)) || 0) }))
    .filter(({ score }) => score !== 0);
}

function scale({ id, choice_text: text }, most, score) {
  const values = Array.from({ length: most + 1 }, (_, value) => value);
  return h("fieldset", { class: "score bar" },
    h("legend", { class: "text", dir: "auto" }, text),
    h("div", { class: "scale" }, values.map((value) =>
      h("label", {},
        h("input", { type: "radio", name: name(id), value: String(value), checked: value === score }),
        h("span", {}, String(value))))));
}

function figure({ id, choice_text: text }, most, score) {
  return h("label", { class: "score bar" },
    h("span", { class: "text", dir: "auto" }, text),
    h("input", {
      type: "number", name: name(id), min: "0", max: String(most), step: "1", inputmode: "numeric",
      value: score === undefined ? "" : String(score),
    }));
}
