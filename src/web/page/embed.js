// A question's results in a frame of another page. There is no signing in here; a link leads to
// the question's own page.

import { api } from "./api.js";
import { fill, h } from "./dom.js";
import { say } from "./form.js";
import { follow } from "./live.js";
import { bars, ofQuestion } from "./results.js";
import { announce, t } from "./texts.js";

const id = location.pathname.split("/").pop();
const main = document.getElementById("main");

async function show() {
  const question = await api("GET", `/questions/${id}`);
  const list = bars(question.choices);
  const count = h("span", {});
  const results = (now) => {
    list.show(now);
    fill(count, now ? t("ballots", { n: now.ballot_count }) : null);
  };
  results(ofQuestion(question));
  document.title = question.question_text;
  fill(main,
    h("h1", {}, question.question_text),
    list.list,
    h("p", { class: "under" }, count, h("a", {
      href: `/questions/${id}`, target: "_blank", rel: "noopener", class: "button primary",
    }, t(question.status === "open" ? "embedVote" : "poweredBy"))));
  if (question.status === "open" && question.ballot_count !== undefined) {
    const signal = new AbortController().signal;
    follow(id, { signal, results, state() {}, ended: () => show().catch(() => {}) });
  }
}

// Tells the surrounding page the height, so that it can resize the frame.
new ResizeObserver(() => {
  parent.postMessage({ type: "polls:height", id, height: document.documentElement.scrollHeight }, "*");
}).observe(main);

announce();
try {
  await show();
} catch (error) {
  fill(main, h("p", { role: "alert" }, say(error)));
}
main.removeAttribute("aria-busy");
