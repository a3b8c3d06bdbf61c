// For admins: the messages that the server sends, and why it could not send some.

import { address, api } from "./api.js";
import { buttons, fill, h } from "./dom.js";
import { action, complain, select } from "./form.js";
import { t } from "./texts.js";
import { moment } from "./times.js";

const STATUSES = ["queued", "sent", "dead", "expired"];

/** The section with all messages, or those of one status. */
export async function messages(signal) {
  const list = h("ul", { class: "rows", id: "messages" });
  const more = buttons();
  const names = Object.fromEntries(STATUSES.map((status) => [status, t(`mail_${status}`)]));
  const status = select("status", "", { "": t("mailAll"), ...names });
  status.setAttribute("aria-label", t("mailStatus"));
  const alert = h("div", { class: "alert", role: "alert" });
  const section = h("section", { class: "panel" },
    h("h2", {}, t("mail")),
    h("div", { class: "controls" }, status, action(t("reload"), () => show())), alert, list, more);

  let asked;
  async function show(cursor) {
    const wanted = (asked = { limit: "20", status: status.value, cursor });
    const { data, meta } = await api("GET", address("/mail", wanted), { signal });
    // Another status may have been chosen meanwhile.
    if (wanted !== asked) return;
    fill(alert);
    if (!cursor) fill(list, !data.length && h("li", {}, t("noMessages")));
    list.append(...data.map(row));
    fill(more, meta.next_cursor && action(t("more"), () => show(meta.next_cursor)));
  }
  status.addEventListener("change", () => show().catch((error) => complain(section, error)));
  await show();
  return section;
}

function row({ kind, recipient, status, attempts, error, created_at, due_at }) {
  return h("li", {},
    h("div", {}, h("strong", { dir: "auto" }, recipient),
      h("span", { class: status === "dead" || status === "expired" ? "badge deleted" : "badge" }, t(`mail_${status}`)),
      h("p", { class: "meta" }, h("span", {}, t(`mail_${kind}`)), h("span", {}, t("attempts", { n: attempts })),
        moment("queuedAt", created_at), due_at && moment("nextAttempt", due_at)),
      error && h("p", { class: "hint", dir: "auto" }, error)));
}
