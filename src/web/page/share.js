// Ways to show a question to others: its link, as a QR code, in other pages.

import { buttons, fill, h, newId, toast } from "./dom.js";
import { action, closer, dialog, field, input } from "./form.js";
import { t } from "./texts.js";

/** How long a button says that it has copied, in milliseconds. */
const CONFIRMED = 3000;

const linkOf = ({ id }) => `${location.origin}/questions/${id}`;

/** A button that copies the text of a box, and says so in its place. */
export function copier(box, properties = {}) {
  let back;
  const button = action(t("copy"), async () => {
    try {
      await navigator.clipboard.writeText(box.value);
      button.classList.add("done");
      fill(button, t("copied"));
      toast(t("copied"));
      clearTimeout(back);
      back = setTimeout(() => {
        button.classList.remove("done");
        fill(button, t("copy"));
      }, CONFIRMED);
    } catch {
      // Without HTTPS there is no clipboard.
      box.focus();
      box.select();
      toast(t("copyByHand"));
    }
  }, properties);
  return button;
}

/** A box with a text to copy, and the button for it. */
function line(label, value, name, properties) {
  const box = input(name, { value, readonly: true, dir: "ltr", onfocus: (event) => event.target.select() });
  const row = field(label, box);
  row.append(copier(box, properties));
  row.classList.add("copied");
  return row;
}

/** The QR code of the link, where the server knows its own address. */
const qrCode = ({ id }, offers) => offers.includes("qr_codes")
  && h("img", { class: "qr", src: `/api/v1/questions/${id}/qr.svg`, alt: t("qrCode"), width: "180", height: "180" });

/** A button that opens what the system has to send a link, where it has something. */
const sender = (question, properties) => navigator.share && action(t("send"),
  () => navigator.share({ title: question.question_text, url: linkOf(question) }).catch(() => {}), properties);

/** What whoever has just asked a question does next. */
export function ready(question, offers) {
  const title = h("h2", { id: newId() }, t("ready"));
  return h("section", { class: "panel ready", "aria-labelledby": title.id },
    title,
    h("p", { class: "hint" }, t("readyHint"), " ", t(question.listed ? "readyListed" : "readyUnlisted")),
    line(t("link"), linkOf(question), "link", { class: "primary", "data-first": true }),
    qrCode(question, offers),
    buttons(sender(question)));
}

/** The dialog with all ways. */
export function sharing(question, offers) {
  const { id, question_text: text } = question;
  const frame = `<script src="${location.origin}/embed.js"></script><iframe src="${location.origin}/embed/${id}" title="polls" width="480" height="360" frameborder="0"></iframe>`;
  const alt = text.replace(/[[\]\\]/g, "\\$&");
  const markdown = `[![${alt}](${location.origin}/api/v1/questions/${id}/results.svg)](${linkOf(question)})`;
  return dialog(t("shareTitle"), (leave) => [
    line(t("link"), linkOf(question), "link"),
    qrCode(question, offers),
    line(t("embedCode"), frame, "frame"),
    line(t("picture"), markdown, "picture"),
    buttons(sender(question, { class: "primary" }), closer(t("close"), leave)),
  ]);
}
