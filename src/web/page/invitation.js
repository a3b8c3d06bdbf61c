// Where the link of an invitation leads: its code is exchanged for the right to vote.

import { Problem } from "./api.js";
import { h, heading } from "./dom.js";
import { form } from "./form.js";
import { acceptInvitation } from "./session.js";
import { t } from "./texts.js";

export async function invitation({ go }) {
  // The code is in the fragment, which browsers send to no server.
  const code = location.hash.slice(1);
  const accept = async () => {
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
      form({ class: "sheet" }, accept, h("button", { class: "primary", "data-first": true }, t("toQuestion")))),
  };
}
