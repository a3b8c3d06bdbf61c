// Times that people read.

import { h } from "./dom.js";
import { exact, t, when } from "./texts.js";

/**
 * A sentence with a relative time, such as "closes in 3 hours", which is kept up to date. `key` is
 * that of the sentence. The exact time is in its tooltip.
 */
export function moment(key, time) {
  const element = h("time", { datetime: time, title: exact(time), "data-sentence": key });
  update(element);
  return element;
}

function update(element) {
  const text = t(element.dataset.sentence, { when: when(element.dateTime) });
  if (element.textContent !== text) element.textContent = text;
}

setInterval(() => document.querySelectorAll("time[data-sentence]").forEach(update), 1000);
