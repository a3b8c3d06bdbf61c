// The start, and the list of questions with its search and filters.

import { address, api, download } from "./api.js";
import { buttons, fill, h, heading } from "./dom.js";
import { badge, facts } from "./facts.js";
import { action, input, select } from "./form.js";
import { bars, ofQuestion } from "./results.js";
import { hasSession, isGuest, isSignedIn } from "./session.js";
import { t } from "./texts.js";
import { moment } from "./times.js";

/** How many of a question's choices its card shows. */
const PREVIEWED = 3;

export async function home({ signal }) {
  const { data } = await api("GET", address("/questions", { status: "open", limit: "6" }), { signal });
  return {
    title: "polls",
    content: [
      h("section", { class: "hero" },
        heading(t("tagline")),
        h("p", {}, t("lead")),
        buttons(
          h("a", { href: "/questions/new", class: "button primary" }, t("askQuestion")),
          h("a", { href: "/questions", class: "button" }, t("browse")))),
      h("h2", {}, t("openNow")),
      data.length ? h("ul", { class: "cards" }, data.map((one) => card(one, "h3"))) : h("p", { class: "empty" }, t("nothing")),
    ],
  };
}

/** What the API is asked for, by whose questions are shown. */
const WHOSE = { mine: { author: "me" }, deleted: { deleted: "true" }, unlisted: { listed: "false" } };

export async function list({ query, signal, go }) {
  const chosen = {
    q: query.get("q")?.slice(0, 100) ?? "",
    status: query.get("status") ?? "",
    whose: query.get("whose") ?? "",
    sort: query.get("sort") ?? "",
  };
  const narrow = (change) =>
    go(address("/questions", { ...chosen, ...change }), { replace: true });
  if (chosen.whose === "voted") return votedIn(signal, whose(chosen.whose, narrow));
  if (!isSignedIn()) chosen.whose = "";
  const parameters = {
    q: chosen.q.trim(),
    status: chosen.status,
    sort: chosen.sort,
    ...WHOSE[chosen.whose],
  };
  const page = (cursor) => api("GET", address("/questions", { ...parameters, cursor }), { signal });
  const first = await page();

  const cards = h("ul", { class: "cards" });
  const count = h("p", { class: "count", role: "status" });
  const more = buttons();
  function append({ data, meta }) {
    const from = cards.children.length;
    cards.append(...data.map((one) => card(one, "h2")));
    const n = cards.children.length;
    const something = meta.next_cursor ? "foundMore" : "found";
    const nothing = Object.values(parameters).some(Boolean) ? "nothingFound" : "nothing";
    fill(count, t(n ? something : nothing, { n }));
    fill(more, meta.next_cursor && action(t("more"), async () => {
      append(await page(meta.next_cursor));
    }));
    if (from) cards.children[from]?.querySelector("a").focus();
  }
  append(first);

  return {
    title: chosen.whose === "mine" ? t("myQuestions") : t("questions"),
    content: [
      heading(chosen.whose === "mine" ? t("myQuestions") : t("questions")),
      h("form", { role: "search", class: "filters", onsubmit: (event) => {
        event.preventDefault();
        narrow({ q: new FormData(event.target).get("q") });
      } },
        h("div", { class: "search" },
          input("q", { type: "search", dir: "auto", maxlength: "100", value: chosen.q, "aria-label": t("search"), placeholder: t("search") }),
          h("button", {}, t("search"))),
        choice("status", t("status"), chosen.status, { "": t("all"), open: t("open"), scheduled: t("scheduled"), closed: t("closed") }, narrow),
        whose(chosen.whose, narrow),
        choice("sort", t("sort"), chosen.sort, { "": t("newest"), created_at: t("oldest"), closes_at: t("closing") }, narrow)),
      count, cards, more,
    ],
  };
}

/** The questions on which the account or guest has voted, the first votes on them last. */
async function votedIn(signal, filter) {
  const list = h("ul", { class: "rows" });
  const more = buttons();
  async function load(cursor) {
    const { data, meta } = await api("GET", address("/users/me/ballots", { cursor }), { signal });
    list.append(...data.map(({ question: { id, question_text: text, status }, cast_at: at }) => h("li", {},
      h("div", {},
        h("a", { href: `/questions/${id}`, dir: "auto" }, text),
        h("p", { class: "meta" }, badge({ status }), moment("votedWhen", at))))));
    fill(more, meta.next_cursor && action(t("more"), () => load(meta.next_cursor)));
  }
  if (hasSession()) await load();
  return {
    title: t("votedIn"),
    content: [
      heading(t("votedIn")),
      h("form", { class: "filters" }, filter),
      list.children.length ? [list, more] : h("p", { class: "empty" }, t("nothing")),
      // Accounts find this on their page.
      isGuest() && buttons(action(t("saveData"), () => download("/users/me/export"))),
    ],
  };
}

/** The filter of whose questions are shown, for whoever can have some. */
const whose = (chosen, narrow) => hasSession() && choice("whose", t("whose"), chosen, {
  "": t("everybodys"),
  ...(isSignedIn() && { mine: t("mine") }),
  voted: t("votedIn"),
  ...(isSignedIn() && { deleted: t("deletedQuestions") }),
  // Admins only, who get there from their page.
  ...(chosen === "unlisted" && { unlisted: t("unlistedQuestions") }),
}, narrow);

/** A filter, applied on change. */
function choice(name, label, chosen, options, narrow) {
  const control = select(name, chosen, options);
  control.addEventListener("change", async () => {
    await narrow({ [name]: control.value });
    document.querySelector(`.filters [name=${name}]`)?.focus();
  });
  return h("label", {}, label, control);
}

/** A question in a list. `level` is that of its heading. */
function card(question, level) {
  const results = ofQuestion(question);
  const others = question.choices.length - PREVIEWED;
  let preview;
  if (results) {
    const top = [...results.choices].sort((one, other) => other.votes - one.votes).slice(0, PREVIEWED);
    preview = bars(top);
    preview.show(results);
    preview.list.classList.add("small");
  }
  return h("li", { class: "card" },
    h(level, {}, h("a", { href: `/questions/${question.id}`, dir: "auto" }, question.question_text)),
    h("p", { class: "meta" }, badge(question), facts(question).map((fact) => h("span", {}, fact))),
    preview?.list,
    preview && others > 0 && h("p", { class: "hint" }, t("moreChoices", { n: others })));
}
