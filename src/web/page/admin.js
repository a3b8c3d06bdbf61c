// For admins: the accounts and their roles, and the messages that the server sends.

import { address, api } from "./api.js";
import { buttons, fill, h, heading, toast } from "./dom.js";
import { action, say, select } from "./form.js";
import { messages } from "./mail.js";
import { accountId, isSignedIn, loginPath } from "./session.js";
import { t } from "./texts.js";
import { moment } from "./times.js";

export async function admin({ signal, go, offers }) {
  if (!isSignedIn()) return void (await go(loginPath(), { replace: true }));
  const read = (cursor) => api("GET", address("/users", { limit: "50", cursor }), { signal });
  const first = await read().catch((error) => {
    if (error.status === 403) return null;
    throw error;
  });
  if (!first) return { title: t("users"), content: [heading(t("users")), h("p", { role: "alert" }, t("adminsOnly"))] };

  const list = h("ul", { class: "rows", id: "users" });
  const more = buttons();
  function append({ data, meta }) {
    list.append(...data.map(row));
    fill(more, meta.next_cursor && action(t("more"), async () => append(await read(meta.next_cursor))));
  }
  append(first);
  return {
    title: t("users"),
    content: [
      heading(t("users")),
      buttons(
        h("a", { href: "/questions?whose=unlisted", class: "button" }, t("unlistedQuestions")),
        h("a", { href: "/questions?whose=deleted", class: "button" }, t("deletedQuestions"))),
      h("section", { class: "panel" }, list, more),
      offers.includes("mail") && (await messages(signal)),
    ],
  };
}

function row(user) {
  const role = select("role", user.role, { user: t("roleUser"), admin: t("roleAdmin") });
  role.setAttribute("aria-label", `${t("role")}: ${user.name}`);
  const disabled = h("input", { type: "checkbox", checked: user.disabled, "aria-label": `${t("disabled")}: ${user.name}` });
  const wrong = h("p", { class: "error", role: "alert" });
  async function change(body) {
    fill(wrong);
    try {
      user = await api("PATCH", `/users/${user.id}`, { body });
      toast(t("saved"));
    } catch (error) {
      fill(wrong, say(error));
    }
    role.value = user.role;
    disabled.checked = user.disabled;
  }
  role.addEventListener("change", () => change({ role: role.value }));
  disabled.addEventListener("change", () => change({ disabled: disabled.checked }));
  return h("li", {},
    h("div", {}, h("strong", { dir: "auto" }, user.name), user.id === accountId() && h("span", { class: "badge open" }, t("you")),
      h("p", { class: "meta" }, h("span", {}, user.email), user.phone && h("span", {}, user.phone),
        moment("joined", user.created_at)), wrong),
    h("div", { class: "controls" }, role, h("label", { class: "check" }, disabled, t("disabled"))));
}
