// The forms to sign up and to sign in.

import { api, Problem } from "./api.js";
import { buttons, h, heading, toast } from "./dom.js";
import { field, form, input } from "./form.js";
import { isGuest, isSignedIn, signIn } from "./session.js";
import { t } from "./texts.js";

/** Where to go afterwards: a path of this site, or the start page. */
function next(query) {
  const path = query.get("next") ?? "/questions";
  return /^\/(?![/\\])/.test(path) ? path : "/";
}

const forward = (path, query) => (query.has("next") ? `${path}?next=${encodeURIComponent(query.get("next"))}` : path);

export async function login({ query, go, offers }) {
  if (isSignedIn()) return void (await go(next(query), { replace: true }));
  return {
    title: t("signIn"),
    content: h("div", { class: "narrow" },
      heading(t("signIn")),
      isGuest() && h("p", { class: "note" }, t("guestSignsIn")),
      form({ class: "sheet" },
        async (data) => {
          await enter(data.get("username"), data.get("password"));
          await go(next(query), { replace: true });
        },
        field(t("username"), input("username", { autocomplete: "username", "data-first": true, autocapitalize: "none", spellcheck: "false" })),
        field(t("password"), input("password", { type: "password", autocomplete: "current-password" })),
        buttons(h("button", { class: "primary" }, t("signIn")))),
      offers.includes("mail") && h("p", {}, h("a", { href: "/reset" }, t("forgotPassword"))),
      offers.includes("registration")
        ? h("p", {}, t("noAccount"), " ", h("a", { href: forward("/register", query) }, t("signUp")))
        : h("p", { class: "hint" }, t("noRegistration"))),
  };
}

export async function register({ query, go, offers }) {
  if (isSignedIn()) return void (await go(next(query), { replace: true }));
  return {
    title: t("signUp"),
    content: h("div", { class: "narrow" },
      heading(t("signUp")),
      isGuest() && offers.includes("registration") && h("p", { class: "note" }, t("guestSignsUp")),
      offers.includes("registration")
        ? form({ class: "sheet" },
          async (data) => {
            const email = data.get("email");
            const body = { name: data.get("name"), email, password: data.get("password"), phone: data.get("phone") || undefined };
            const account = await api("POST", "/users", { body });
            await enter(email, data.get("password"));
            toast(t("welcome", { name: account.name }));
            await go(next(query), { replace: true });
          },
          field(t("name"), input("name", { autocomplete: "nickname", maxlength: "40", "data-first": true }), { pointer: "/name" }),
          field(t("email"), input("email", { type: "email", autocomplete: "username" }), { pointer: "/email" }),
          field(t("phone"), input("phone", { type: "tel", autocomplete: "tel" }), { pointer: "/phone", optional: true }),
          field(t("password"), input("password", { type: "password", autocomplete: "new-password" }), { pointer: "/password", hint: t("passwordHint") }),
          buttons(h("button", { class: "primary" }, t("signUp"))))
        : h("p", {}, t("noRegistration")),
      h("p", {}, t("haveAccount"), " ", h("a", { href: forward("/login", query) }, t("signIn")))),
  };
}

/** Signs in; turns an OAuth error into a problem. */
async function enter(username, password) {
  const refused = await signIn(username, password);
  if (!refused) return;
  if (refused.error === "rate_limited") throw new Problem(429, { code: "rate_limited" }, refused.after);
  throw new Problem(400, { code: "invalid_grant", detail: t("wrongCredentials") });
}
