// A question in short: its state, its author, its times.

import { h } from "./dom.js";
import { isolated, t } from "./texts.js";
import { moment } from "./times.js";

export function badge({ status, deleted_at }) {
  return deleted_at
    ? h("span", { class: "badge deleted" }, t("deleted"))
    : h("span", { class: `badge ${status}` }, t(status));
}

/** Author, number of ballots, opening and closing times, and whether lists leave it out. */
export function facts({ author, listed, status, ballot_count, opens_at, closes_at, closed_at }) {
  const facts = [t("by", { name: author.name ? isolated(author.name) : t("somebody") })];
  if (ballot_count !== undefined) facts.push(t("ballots", { n: ballot_count }));
  const ended = closed_at ?? closes_at;
  if (status === "scheduled") facts.push(moment("opens", opens_at));
  else if (status === "closed" && ended) facts.push(moment("closedWhen", ended));
  else if (closes_at) facts.push(moment("closes", closes_at));
  if (!listed) facts.push(t("unlisted"));
  return facts;
}
