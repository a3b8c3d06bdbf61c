// The choices in the editor: rows that can be added, pasted, moved and removed.

import { CROSS, DOWN, h, icon, toast, UP } from "./dom.js";
import { input } from "./form.js";
import { t } from "./texts.js";

/** The fewest choices of a question. */
const FEWEST = 2;

/** Rows for the `given` choices. Those with an id are fixed if `settled`. */
export function choices(given, settled) {
  const list = h("ol", { class: "choices" });
  const more = h("button", { type: "button", onclick: () => {
    insert({ choice_text: "" }).focus();
    changed();
  } }, t("addChoice"));
  const fieldset = h("fieldset", { "data-pointer": "/choices" },
    h("legend", {}, t("choices")), list, more, h("p", { class: "hint" }, t("pasteHint")));
  const rows = () => [...list.children];
  const boxOf = (row) => row.querySelector("input");

  /** Adds a row after another one, or at the end; returns its box. */
  function insert({ id, choice_text: text }, after) {
    const fixed = settled && Boolean(id);
    const box = input("choice", { value: text, maxlength: "200", disabled: fixed });
    const tool = (path, name, work) => h("button", { type: "button", class: "tool", "data-label": name, onclick: () => {
      work();
      changed();
    } }, icon(path));
    const row = h("li", { class: "field", "data-choice": id },
      box,
      tool(UP, "moveUp", () => move(row, row.previousElementSibling, "before", "moveUp")),
      tool(DOWN, "moveDown", () => move(row, row.nextElementSibling, "after", "moveDown")),
      !fixed && tool(CROSS, "removeChoice", () => remove(row)));
    // In the last row, Enter adds another one.
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing || row.nextElementSibling || !box.value.trim()) return;
      event.preventDefault();
      insert({ choice_text: "" }).focus();
      changed();
    });
    box.addEventListener("paste", (event) => paste(event, row));
    if (after) after.after(row);
    else list.append(row);
    return box;
  }

  function move(row, beside, where, name) {
    beside?.[where](row);
    row.querySelector(`[data-label=${name}]`).focus();
  }

  function remove(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    (next ? boxOf(next) : more).focus();
  }

  /** Each line of a pasted list becomes a choice: in this row, in the empty rows below, in new rows. */
  function paste(event, row) {
    const lines = linesOf(event.clipboardData.getData("text"));
    if (lines.length < 2) return;
    event.preventDefault();
    const box = boxOf(row);
    box.setRangeText(lines[0], box.selectionStart, box.selectionEnd, "end");
    let last = row;
    for (const line of lines.slice(1)) {
      const below = last.nextElementSibling;
      const empty = below && !boxOf(below).value;
      const next = empty ? boxOf(below) : insert({ choice_text: "" }, last);
      next.value = line;
      last = next.closest("li");
    }
    boxOf(last).focus();
    changed();
    toast(t("pasted", { n: lines.length }));
  }

  /** Numbers labels and JSON pointers by position, and tells the form. */
  function changed() {
    label();
    fieldset.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function label() {
    rows().forEach((row, index) => {
      const n = index + 1;
      const box = boxOf(row);
      box.setAttribute("aria-label", t("choiceNumber", { n }));
      box.placeholder = t("choiceNumber", { n });
      box.dataset.pointer = `/choices/${index}/choice_text`;
      for (const tool of row.querySelectorAll("[data-label]")) {
        tool.setAttribute("aria-label", t(tool.dataset.label, { n }));
      }
    });
  }

  for (const choice of given) insert(choice);
  label();
  return {
    fieldset,
    /** The choices as they are written. */
    written: () => rows().map((row) => ({ id: row.dataset.choice, choice_text: boxOf(row).value })),
    /** The rows to be saved: new ones at the end that are empty are left out. */
    filled() {
      const all = rows();
      const empty = (row) => !row.dataset.choice && !boxOf(row).value.trim();
      while (all.length > FEWEST && empty(all.at(-1))) all.pop();
      return all.map((row) => ({ row, id: row.dataset.choice, choice_text: boxOf(row).value }));
    },
  };
}

/** The lines of a text that are not empty, without the bullets or numbers of a list. */
function linesOf(text) {
  const lines = text.split(/\r\n|\r|\n/).map((line) => line.trim()).filter(Boolean);
  const mark = /^(?:[-*•·]\s+|\d+(?:[.)]\s+|、))/;
  return lines.every((line) => mark.test(line)) ? lines.map((line) => line.replace(mark, "")) : lines;
}
