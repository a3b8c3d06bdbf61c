// The router, header and footer.

import { connection, part } from "./api.js";
import { fill, h, heading, hush, icon, toast } from "./dom.js";
import { failure } from "./form.js";
import { accountId, changes, isSignedIn, loginPath, signOut, withReturn } from "./session.js";
import { announce, choose, nameOf, other, t, tagOf } from "./texts.js";

const ID = "([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})";

/** The pages by path: the module of each, and its function there. The server has the same list. */
const routes = [
  ["/", () => import("./questions.js"), "home"],
  ["/questions", () => import("./questions.js"), "list"],
  ["/questions/new", () => import("./editor.js"), "editor"],
  [`/questions/${ID}`, () => import("./question.js"), "question"],
  [`/questions/${ID}/edit`, () => import("./editor.js"), "editor"],
  ["/register", () => import("./entry.js"), "register"],
  ["/login", () => import("./entry.js"), "login"],
  ["/reset", () => import("./recovery.js"), "reset"],
  ["/i", () => import("./invitation.js"), "accept"],
  ["/refuse", () => import("./invitation.js"), "refuse"],
  ["/account", () => import("./account.js"), "account"],
  ["/admin", () => import("./admin.js"), "admin"],
].map(([path, load, name]) => [new RegExp(`^${path}/?$`), load, name]);

/** Links to what else the server offers. */
const offers = document.querySelector("meta[name=polls]").content.split(" ");

const main = document.getElementById("main");
let leaving = new AbortController();

/** Goes to another page. */
function go(path, { replace = false } = {}) {
  if (replace) history.replaceState({}, "", path);
  else {
    remember();
    history.pushState({}, "", path);
  }
  return show({ arrive: true });
}

/** Remembers the scroll position for the back button. */
function remember() {
  history.replaceState({ ...history.state, scroll: scrollY }, "");
}

/**
 * Shows the page of the current path. Its function returns title and content; `signal` is aborted
 * when another page is shown.
 */
async function show({ arrive = false, scroll = 0, drafts } = {}) {
  leaving.abort(new DOMException("left", "AbortError"));
  leaving = new AbortController();
  const { signal } = leaving;
  const url = new URL(location);
  const [pattern, load, name] = routes.find(([pattern]) => pattern.test(url.pathname)) ?? [/.*/];
  const context = {
    id: pattern.exec(url.pathname)[1]?.toLowerCase(),
    query: url.searchParams,
    offers,
    signal,
    go,
    again: () => show(),
    entitle,
  };
  main.setAttribute("aria-busy", "true");
  let shown;
  try {
    const module = load && await part(load);
    signal.throwIfAborted();
    shown = module ? await module[name](context) : missing();
  } catch (error) {
    if (signal.aborted) return;
    shown = error.status === 404 ? missing() : failed(error, signal);
  }
  if (signal.aborted || !shown) return;
  main.removeAttribute("aria-busy");
  entitle(shown.title);
  fill(main, shown.content);
  restore(drafts);
  frame();
  if (arrive) {
    const heading = main.querySelector("h1");
    (main.querySelector("[data-first]") ?? heading ?? main).focus({ preventScroll: true });
  }
  if (arrive || scroll) scrollTo(0, scroll);
}

function entitle(title) {
  document.title = title === "polls" ? "polls" : `${title} · polls`;
}

function missing() {
  return {
    title: t("notFound"),
    content: [
      heading(t("notFound")),
      h("p", {}, t("notFoundText")),
      h("p", {}, h("a", { href: "/" }, t("home"))),
    ],
  };
}

function failed(error, signal) {
  return {
    title: t("trouble"),
    content: [heading(t("trouble")), failure(error, () => show(), signal)],
  };
}

/** The current values of the forms. */
function written() {
  return [...main.querySelectorAll("form")].map((form) =>
    [...form.elements]
      .filter((control) => control.name)
      .map(({ name, value, type, checked }) => ({ name, value, type, checked })));
}

/** Restores them, control by control. */
function restore(drafts) {
  const forms = [...main.querySelectorAll("form")];
  drafts?.forEach((draft, index) => {
    const controls = [...(forms[index]?.elements ?? [])].filter((control) => control.name);
    if (controls.length !== draft.length) return;
    draft.forEach(({ value, type, checked }, at) => {
      if (type === "radio" || type === "checkbox") controls[at].checked = checked;
      else controls[at].value = value;
    });
  });
}

function frame() {
  const here = location.pathname;
  const link = (path, label, properties = {}) =>
    h("a", { href: path, "aria-current": here === path.split("?")[0] && "page", ...properties }, label);
  // After signing in on the page of a question one is there again, by way of either form.
  const isEntering = ["/login", "/register"].includes(here);
  const entry = here.startsWith("/questions/") ? withReturn : (path) => (isEntering ? path + location.search : path);
  const signed = isSignedIn()
    ? [link("/account", t("account"))]
    : [link(entry("/login"), t("signIn")), offers.includes("registration") && link(entry("/register"), t("signUp"), { class: "wide" })];
  document.querySelector(".skip").textContent = t("skip");
  fill(document.querySelector(".top"),
    h("a", { href: "/", class: "brand" }, icon("M4 6h16M4 12h10M4 18h5"), "polls"),
    h("nav", { "aria-label": t("main") },
      link("/questions", t("questions")),
      signed,
      link("/questions/new", t("ask"), { class: "button primary" })));
  fill(document.querySelector(".bottom"),
    h("button", { type: "button", class: "quiet", id: "language", lang: tagOf(other()), onclick: switchLanguage }, nameOf(other())),
    offers.includes("docs") && h("a", { href: "/docs", "data-outside": true }, t("api")),
    isSignedIn() && h("button", { type: "button", class: "quiet", id: "sign-out", onclick: signOut }, t("signOut")));
}

async function switchLanguage() {
  const drafts = written();
  choose(other());
  await show({ drafts });
  document.getElementById("language").focus({ preventScroll: true });
}

// Links to pages of this site are followed without a reload.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || event.defaultPrevented || link.target || link.dataset.outside) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || url.hash) return;
  event.preventDefault();
  hush();
  go(url.pathname + url.search);
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

history.scrollRestoration = "manual";
addEventListener("popstate", (event) => {
  hush();
  show({ arrive: true, scroll: event.state?.scroll ?? 0 });
});

let signedIn = accountId();
changes.addEventListener("change", () => {
  const before = signedIn;
  signedIn = accountId();
  if (before && !signedIn) {
    toast(t("signedOut"));
    const needed = ["/account", "/admin", "/questions/new"].includes(location.pathname);
    // After signing in again, one is where one was.
    if (needed || location.pathname.endsWith("/edit")) return void go(loginPath(), { replace: true });
  }
  // After signing in by the form, that form goes to another page. A new guest leaves forms alone.
  const isEntering = ["/login", "/register"].includes(location.pathname);
  if (isEntering && (document.hasFocus() || before === signedIn)) return;
  show();
});

const notice = document.getElementById("notice");
let wasLost = false;
connection.addEventListener("change", () => {
  const { lost, slow } = connection;
  const trouble = lost ? "lost" : slow && "slow";
  fill(notice, trouble && h("p", {}, t(trouble)));
  if (wasLost && !lost) toast(t("back"));
  wasLost = lost;
});

announce();
frame();
await show();
performance.mark("interactive");
