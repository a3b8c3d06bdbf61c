// Getting back in by mail: choosing a new password, and verifying the email address.

import { api, Problem } from "./api.js";
import { buttons, h, heading, toast } from "./dom.js";
import { action, field, form, input } from "./form.js";
import { forget, isSignedIn } from "./session.js";
import { t } from "./texts.js";

/** Sends a link to an address; with the token of such a link, asks for the new password. */
export async function reset({ go, offers }) {
  const token = location.hash.slice(1);
  const content = offers.includes("mail") ? (token ? choose(token, go) : ask()) : h("p", {}, t("noMail"));
  return { title: t("resetPassword"), content: h("div", { class: "narrow" }, heading(t("resetPassword")), content) };
}

function ask() {
  const sent = h("p", { role: "status" });
  return [
    h("p", {}, t("resetText")),
    form({ class: "sheet" },
      async (data) => {
        sent.textContent = "";
        await api("POST", "/auth/password-reset", { body: { email: data.get("email") } });
        sent.textContent = t("linkSent");
      },
      field(t("email"), input("email", { type: "email", autocomplete: "username", "data-first": true }), { pointer: "/email" }),
      buttons(h("button", { class: "primary" }, t("sendLink"))),
      sent),
    h("p", {}, h("a", { href: "/login" }, t("signIn"))),
  ];
}

function choose(token, go) {
  return [
    form({ class: "sheet" },
      async (data) => {
        await replace(token, data.get("new_password"));
        // All sessions of the account have ended, be it this browser's.
        if (isSignedIn()) forget();
        toast(t("resetDone"));
        await go("/login", { replace: true });
      },
      // Password managers expect one. The link does not tell whose password it is.
      input("username", { autocomplete: "username", hidden: true }),
      field(t("newPassword"), input("new_password", { type: "password", autocomplete: "new-password", "data-first": true }), { pointer: "/new_password", hint: t("passwordHint") }),
      buttons(h("button", { class: "primary" }, t("changePassword")))),
    h("p", {}, h("a", { href: "/reset" }, t("newLink"))),
  ];
}

async function replace(token, new_password) {
  try {
    await api("PUT", "/auth/password-reset", { body: { token, new_password } });
  } catch (error) {
    const isVoid = error.errors?.some((one) => one.pointer === "/token");
    throw isVoid ? new Problem(422, { code: "void_link", detail: t("linkVoid") }) : error;
  }
}

/** Whether the account's address is verified, and the form that verifies it. */
export function verification(me, again) {
  const state = h("p", {}, me.email_verified ? t("verified", { email: me.email }) : t("notVerified", { email: me.email }));
  const section = (...content) => h("section", { class: "panel" }, h("h2", {}, t("verification")), state, content);
  if (me.email_verified) return section();
  const sent = h("p", { role: "status" });
  const send = action(t("sendCode"), async () => {
    await api("POST", "/users/me/email-verification");
    sent.textContent = t("codeSent");
  });
  return section(
    buttons(send), sent,
    form({},
      async (data) => {
        await api("PUT", "/users/me/email-verification", { body: { code: data.get("code") } });
        toast(t("saved"));
        await again();
      },
      field(t("code"), input("code", { autocomplete: "one-time-code", autocapitalize: "characters", spellcheck: "false" }), { pointer: "/code" }),
      buttons(h("button", {}, t("verify")))));
}
