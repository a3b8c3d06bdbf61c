// The choices with bars and numbers.

import { fill, h } from "./dom.js";
import { number, percent, t } from "./texts.js";

/** Whether choices are sorted by votes, where one can say so: a preference for all questions. */
let byVotes = false;

/**
 * A list of choices with their bars. `before` may put a control in front of a choice's text, and
 * makes its row a label. `count` is the text that names the numbers; `share: false` leaves out the
 * percentages.
 */
export function bars(choices, { before, count = "votes", share = true } = {}) {
  const rows = new Map();
  let shown;
  const list = h("ul", { class: "bars" }, choices.map((choice) => {
    const fillIn = h("span", { class: "fill" });
    const numbers = h("span", { class: "numbers" });
    const control = before && before(choice);
    const row = h(control ? "label" : "div", { class: "bar" },
      fillIn, control, h("span", { class: "text", dir: "auto" }, choice.choice_text), numbers);
    const item = h("li", {}, row);
    rows.set(choice.id, { item, row, fillIn, numbers });
    return item;
  }));
  const sorter = h("button", { type: "button", class: "quiet sorter", "aria-pressed": String(byVotes), hidden: true, onclick: () => {
    byVotes = !byVotes;
    sorter.setAttribute("aria-pressed", byVotes);
    sort();
  } }, t("sortByVotes"));

  function sort() {
    const votes = new Map(shown.choices.map((choice) => [choice.id, choice.votes]));
    const order = choices.map(({ id }) => id);
    if (byVotes) order.sort((one, other) => (votes.get(other) ?? 0) - (votes.get(one) ?? 0));
    const items = order.map((id) => rows.get(id).item);
    if (items.some((item, index) => item !== list.children[index])) list.append(...items);
  }

  return {
    list,
    /** A button that sorts the choices by votes, and back. */
    sorter,
    /** Shows these results; hides them if there are none. */
    show(results) {
      shown = results;
      list.classList.toggle("counted", Boolean(results));
      sorter.hidden = !results;
      for (const [id, { row, fillIn, numbers }] of rows) {
        const choice = results?.choices.find((choice) => choice.id === id);
        row.classList.toggle("leads", Boolean(results?.leading_choice_ids.includes(id)));
        fillIn.style.transform = `scaleX(${choice ? Math.min(choice.share, 1) : 0})`;
        if (!choice) {
          fill(numbers);
          continue;
        }
        const votes = t(count, { n: choice.votes });
        fill(numbers, share && h("strong", {}, percent(choice.share)),
          h("span", { class: "votes" }, h("span", { "aria-hidden": "true" }, number(choice.votes)),
            h("span", { class: "unseen" }, `${t("betweenParts")}${votes}`)));
      }
      // Rows stay where they are under the pointer and the focus.
      if (results && sorter.isConnected && !list.matches(":hover, :focus-within")) sort();
    },
  };
}

/** The results within a question, in the form of the results resource. */
export function ofQuestion({ id, choices, ballot_count, method, max_score }) {
  if (ballot_count === undefined) return undefined;
  // By other methods than this one, the most votes need not win.
  const most = method === "multiple_choice" ? Math.max(...choices.map((choice) => choice.votes)) : Infinity;
  const whole = ballot_count * (max_score ?? 1);
  return {
    question_id: id,
    ballot_count,
    choices: choices.map((choice) => ({ ...choice, share: whole ? choice.votes / whole : 0 })),
    leading_choice_ids: choices.filter((choice) => most > 0 && choice.votes === most).map((choice) => choice.id),
    is_final: false,
  };
}
