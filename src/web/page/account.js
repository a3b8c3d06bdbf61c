// The user's own account: profile, password, sessions.

import { api, download } from "./api.js";
import { buttons, fill, h, heading, toast } from "./dom.js";
import { discardAll } from "./drafts.js";
import { action, confirm, field, form, input } from "./form.js";
import { verification } from "./recovery.js";
import { forget, isSignedIn, loginPath, signOut } from "./session.js";
import { t } from "./texts.js";
import { moment } from "./times.js";

export async function account({ signal, go, again, offers }) {
  if (!isSignedIn()) return void (await go(loginPath(), { replace: true }));
  const me = await api("GET", "/users/me", { signal });
  return {
    title: t("account"),
    content: [
      heading(me.name),
      buttons(
        h("a", { href: "/questions?whose=mine", class: "button" }, t("myQuestions")),
        h("a", { href: "/questions?whose=voted", class: "button" }, t("votedIn")),
        me.role === "admin" && h("a", { href: "/admin", class: "button" }, t("admin")),
        action(t("signOut"), signOut)),
      profile(me, again),
      offers.includes("mail") && verification(me, again),
      password(me),
      await sessions(signal),
      h("section", { class: "panel" }, h("h2", {}, t("myData")),
        h("p", {}, t("myDataText")),
        action(t("saveData"), () => download("/users/me/export"))),
      h("section", { class: "panel" }, h("h2", {}, t("deleteAccount")),
        h("p", {}, t("deleteWarning")),
        action(t("deleteAccount"), () => leave(me, go), { class: "danger" })),
    ],
  };
}

async function leave(me, go) {
  const done = await confirm(t("deleteAccount"), t("deleteSure"), t("deleteAccount"),
    (data) => api("POST", "/users/me/deletion", { body: { current_password: data.get("current_password") } }), currentPassword(me));
  if (!done) return;
  discardAll();
  forget();
  toast(t("accountDeleted"));
  await go("/");
}

function profile(me, again) {
  const changes = (data) => {
    const wanted = { name: data.get("name"), email: data.get("email"), phone: data.get("phone") || null };
    return Object.fromEntries(Object.entries(wanted).filter(([key, value]) => value !== (me[key] ?? null)));
  };
  const confirmation = currentPassword(me, t("confirmLogin"));
  /** Shows the field for the password where it is needed. */
  const needsPassword = (body) => {
    const needed = "email" in body || "phone" in body;
    confirmation.hidden = !needed;
    return needed;
  };
  needsPassword({});
  const section = form({ oninput: () => needsPassword(changes(new FormData(section))) },
      async (data) => {
        const body = changes(data);
        if (needsPassword(body)) body.current_password = data.get("current_password") || undefined;
        if (Object.keys(body).length) await api("PATCH", "/users/me", { body });
        toast(t("saved"));
        await again();
      },
      field(t("name"), input("name", { value: me.name, autocomplete: "nickname", maxlength: "40" }), { pointer: "/name" }),
      field(t("email"), input("email", { type: "email", value: me.email, autocomplete: "email" }), { pointer: "/email" }),
      field(t("phone"), input("phone", { type: "tel", value: me.phone ?? "", autocomplete: "tel" }), { pointer: "/phone", optional: true }),
      confirmation,
      buttons(h("button", {}, t("save"))));
  return h("section", { class: "panel" }, h("h2", {}, t("profile")), section);
}

/** The field for the password that the account has, with its name for password managers. */
const currentPassword = (me, hint) => h("div", {},
  input("username", { value: me.email, autocomplete: "username", hidden: true }),
  field(t("currentPassword"), input("current_password", { type: "password", autocomplete: "current-password" }), { pointer: "/current_password", hint }));

function password(me) {
  const section = form({},
    async (data) => {
      await api("PUT", "/users/me/password", {
        body: { current_password: data.get("current_password"), new_password: data.get("new_password") },
      });
      section.reset();
      toast(t("passwordChanged"));
    },
    currentPassword(me),
    field(t("newPassword"), input("new_password", { type: "password", autocomplete: "new-password" }), { pointer: "/new_password", hint: t("passwordHint") }),
    buttons(h("button", {}, t("changePassword"))));
  return h("section", { class: "panel" }, h("h2", {}, t("password")), section);
}

async function sessions(signal) {
  const list = h("ul", { class: "rows", id: "sessions" });
  async function load() {
    const { data } = await api("GET", "/auth/sessions?limit=100", { signal });
    fill(list, data.map((session) => h("li", {},
      h("div", {},
        h("strong", {}, browser(session.client)), session.current && h("span", { class: "badge open" }, t("thisDevice")),
        h("p", { class: "meta" },
          moment("lastUsed", session.last_used_at),
          moment("since", session.created_at))),
      !session.current && action(t("signOutThere"), async () => {
        await api("DELETE", `/auth/sessions/${session.id}`);
        await load();
        list.querySelector("button")?.focus();
      }))));
  }
  await load();
  return h("section", { class: "panel" }, h("h2", {}, t("sessions")), list,
    buttons(
      action(t("signOutEverywhere"), async () => {
        const done = await confirm(t("signOutEverywhere"), t("everywhereSure"), t("signOutEverywhere"),
          () => api("DELETE", "/auth/sessions"));
        if (done) forget();
      })));
}

/** Browser and operating system, from a User-Agent header. */
function browser(client) {
  if (!client) return t("unknownClient");
  const known = (names) => names.split(" ").find((name) => client.includes(name));
  const name = known("Edg Firefox Chrome Safari")?.replace("Edg", "Edge");
  const system = known("Android iPhone iPad Mac Windows Linux");
  return name ? [name, system].filter(Boolean).join(" · ") : client.slice(0, 60);
}
