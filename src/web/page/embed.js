// A question's results in a frame of another page. There is no signing in here; a link leads to
// the question's own page.

import { api } from "./api.js";
import { fill, h } from "./dom.js";
import { say } from "./form.js";
import { isTelling, outcomeInWords } from "./outcome.js";
import { bars, ofQuestion } from "./results.js";
import { announce, t } from "./texts.js";
import { watch } from "./watch.js";

const id = location.pathname.split("/").pop().toLowerCase();
const main = document.getElementById("main");

async function show() {
  const known = {};
  const question = await api("GET", `/questions/${id}`, { known });
  draw(question, ofQuestion(question));
  watch(question, {
    known, element: main, signal: new AbortController().signal,
    changed: draw,
    results: (results) => shown(results),
    state() {},
    gone: () => fill(main, h("p", { role: "alert" }, t("gone"))),
  });
}

/** Shows results in what was drawn last. */
let shown;

function draw(question, results) {
  const list = bars(question.choices);
  const count = h("span", {});
  const words = h("p", { class: "outcome", dir: "auto" });
  shown = (results) => {
    list.show(results);
    fill(words, results?.outcome && isTelling(question) && outcomeInWords(question, results));
    fill(count, results && t("ballots", { n: results.ballot_count }));
  };
  shown(results);
  document.title = question.question_text;
  fill(main,
    h("h1", { dir: "auto" }, question.question_text),
    list.list,
    words,
    h("p", { class: "under" }, count, h("a", {
      href: `/questions/${id}`, target: "_blank", rel: "noopener", class: "button primary",
    }, t(question.status === "open" ? "embedVote" : "poweredBy"))));
}

// Tells the surrounding page the height, so that it can resize the frame.
new ResizeObserver(() => {
  parent.postMessage({ type: "polls:height", id, height: document.body.offsetHeight }, "*");
}).observe(main);

announce();
try {
  await show();
} catch (error) {
  fill(main, h("p", { role: "alert" }, say(error)));
}
main.removeAttribute("aria-busy");
