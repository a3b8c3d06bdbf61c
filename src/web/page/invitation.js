// Where the links of an invitation lead: to vote, and to refuse all further ones. What they say is in
// the fragment, which browsers send to no server.

import { api, Problem } from "./api.js";
import { buttons, fill, h, heading } from "./dom.js";
import { form } from "./form.js";
import { acceptInvitation } from "./session.js";
import { t } from "./texts.js";

/** Exchanges the code of a link for the right to vote, and leads to the question. */
export function accept({ go }) {
  const code = location.hash.slice(1);
  const use = async () => {
    const accepted = await acceptInvitation(code);
    if (accepted.error === "rate_limited") throw new Problem(429, { code: "rate_limited" }, accepted.after);
    if (accepted.error) throw new Problem(400, { code: "invalid_grant", detail: t("invitationVoid") });
    await go(`/questions/${accepted.question}`, { replace: true });
  };
  return {
    title: t("invitation"),
    content: h("div", { class: "narrow" },
      heading(t("invitation")),
      h("p", {}, t("invitationText")),
      form({ class: "sheet" }, use,
        buttons(h("button", { class: "primary", "data-first": true }, t("toQuestion"))))),
  };
}

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
