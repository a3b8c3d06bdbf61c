// Invitations by mail.

import { api } from "./api.js";
import { buttons, fill, h, heading } from "./dom.js";
import { form } from "./form.js";
import { t } from "./texts.js";

/** Refuses all further invitations, by the token of a link. Opening the link alone does nothing: mail servers open links, too. */
export function refuse() {
  const token = location.hash.slice(1);
  const content = h("div", {},
    h("p", {}, t("refuseText")),
    form({ class: "sheet" },
      async () => {
        await api("POST", "/invitations/refusals", { body: { token }, repeatable: true });
        fill(content, h("p", { role: "status" }, t("refused")));
      },
      buttons(h("button", { class: "primary", "data-first": true }, t("refuseAll")))));
  return { title: t("refuseTitle"), content: h("div", { class: "narrow" }, heading(t("refuseTitle")), content) };
}
