// Swagger UI, with what it lacks for this API: a sign-in form that asks only for what is needed, the
// problems of an operation in one list, a search in all operations, and the command for the terminal
// where an answer does not end.

/** An access token is replaced this long before it expires, in milliseconds. */
const LEEWAY = 10_000;

function start(spec) {
  // The document may name the public address; requests from this page go to the server that sent it.
  const base = new URL(spec.servers[0].url, location.href).pathname;
  spec.servers = [{ url: base }];
  const [scheme] = Object.keys(spec.components.securitySchemes);
  const operationAt = (path, method) => spec.paths[path]?.[method];

  /** Sends a form to one of the calls about tokens. */
  async function send(call, fields) {
    const response = await fetch(`${base}/auth/${call}`, { method: "POST", body: new URLSearchParams(fields) });
    const answer = response.status === 200 ? await response.json().catch(() => ({})) : {};
    if (response.ok) return answer;
    const { detail, error_description } = await response.json().catch(() => ({}));
    throw new Error(detail ?? error_description ?? `The server answers with ${response.status}.`);
  }

  /** Keeps tokens beyond a reload, but never the password. */
  function keep(tokens, { authorizeOauth2WithPersistOption }) {
    const token = { ...tokens, expires_at: Date.now() + tokens.expires_in * 1000 };
    authorizeOauth2WithPersistOption({ auth: { name: scheme, schema: spec.components.securitySchemes[scheme] }, token });
    return token;
  }

  /** The tokens, which another tab may have replaced. */
  const kept = () => JSON.parse(localStorage.getItem("authorized") ?? "{}")[scheme]?.token;

  /** Replaces an access token that is about to expire. */
  async function withFreshToken(request) {
    const token = kept();
    if (!request.headers?.Authorization || !token) return request;
    let { access_token, refresh_token, expires_at } = token;
    if (expires_at < Date.now() + LEEWAY) {
      try {
        const tokens = await send("token", { grant_type: "refresh_token", refresh_token });
        ({ access_token } = keep(tokens, ui.authActions));
      } catch {
        ui.authActions.logoutWithPersistOption([scheme]);
      }
    }
    request.headers.Authorization = `Bearer ${access_token}`;
    return request;
  }

  const ui = SwaggerUIBundle({
    spec,
    dom_id: "#ui",
    deepLinking: true,
    persistAuthorization: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    validatorUrl: null,
    layout: "Page",
    requestInterceptor: withFreshToken,
    plugins: [({ React }) => plugin(React)],
  });

  function plugin({ createElement: h, Fragment, useState }) {
    /** The page: what one needs at once first, the introduction folded. */
    function Page({ getComponent, layoutActions, layoutSelectors, authSelectors }) {
      const part = (name, properties) => h(getComponent(name, true), properties);
      const { title, version, description, contact } = spec.info;
      const [summary, ...sections] = description.split(/^(?=# )/m);
      const topics = sections.map((section) => section.slice(2, section.indexOf("\n")).toLowerCase());
      const signedIn = authSelectors.authorized().has(scheme);
      const filter = layoutSelectors.currentFilter();
      return h("div", { className: "swagger-ui" },
        part("SvgAssets"),
        h("h1", {}, `${title} API `, h("small", {}, version)),
        part("Markdown", { source: summary }),
        h("div", { className: "start" },
          part("AuthorizeBtnContainer"),
          h("p", {}, signedIn ? "You are signed in." : ["Sign in to try what needs an account. No account yet? Begin with ",
            h("a", { key: "register", href: "#/Users/createUser" }, "POST /users"), "."])),
        h("details", { className: "about" },
          h("summary", {}, `How to use the API: ${topics.join(", ")}`),
          part("Markdown", { source: sections.join("").replace(/^# /gm, "## ") }),
          contact?.url && h("p", {}, h("a", { href: contact.url }, contact.name ?? contact.url))),
        h("label", { className: "filter" }, "Filter ",
          h("input", {
            type: "search",
            placeholder: "path, name or summary",
            value: typeof filter === "string" ? filter : "",
            onChange: ({ target }) => layoutActions.updateFilter(target.value),
          })),
        part("errors"),
        part("operations"));
    }

    /** Asks for what the password grant needs. Swagger UI would ask for a client id and a secret, too. */
    function SignIn({ authSelectors, authActions }) {
      const [error, setError] = useState();
      const signedIn = authSelectors.authorized().has(scheme);
      const dialog = (...content) => h("dialog", {
        "aria-label": "Authorize",
        ref: (element) => element?.open === false && element.showModal(),
        onClose: () => authActions.showDefinitions(false),
      }, ...content, h("button", { type: "button", className: "btn", onClick: close }, "Close"));
      const close = ({ target }) => target.closest("dialog").close();

      if (signedIn) {
        const signOut = async (event) => {
          const token = kept()?.refresh_token;
          authActions.logoutWithPersistOption([scheme]);
          close(event);
          if (token) await send("revoke", { token }).catch(() => {});
        };
        return dialog(h("p", {}, "You are signed in."),
          h("button", { type: "button", className: "btn", onClick: signOut }, "Sign out"));
      }
      const submit = async (event) => {
        event.preventDefault();
        setError();
        const { username, password } = Object.fromEntries(new FormData(event.target));
        try {
          keep(await send("token", { grant_type: "password", username, password }), authActions);
          close(event);
        } catch ({ message }) {
          setError(message);
        }
      };
      return dialog(h("form", { id: "sign-in", onSubmit: submit },
        h("label", {}, "Email or phone", h("input", { name: "username", autoComplete: "username", required: true })),
        h("label", {}, "Password", h("input", { name: "password", type: "password", autoComplete: "current-password", required: true })),
        error && h("p", { role: "alert" }, error)),
      h("button", { className: "btn authorize", form: "sign-in" }, "Sign in"));
    }

    /** Success as Swagger UI shows it; below it one line for each status of failure. */
    const Responses = (Original, { getComponent }) => function Responses(properties) {
      const isProblem = (_, status) => Number(status) >= 400;
      const problems = properties.responses.filter(isProblem);
      return h(Fragment, {},
        h(Original, { ...properties, responses: properties.responses.filterNot(isProblem) }),
        problems.size > 0 && h("details", {},
          h("summary", {}, `Problems: ${[...problems.keys()].join(", ")}`),
          h("dl", {}, [...problems].map(([status, response]) =>
            h(Fragment, { key: status }, h("dt", {}, status),
              h("dd", {}, h(getComponent("Markdown", true), { source: linked(response) })))))));
    };

    /** The headers of an answer, which are much the same for all. */
    const Headers = (Original) => function Headers(properties) {
      const { headers } = properties;
      return headers?.size > 0 && h("details", {},
        h("summary", {}, `Headers: ${[...headers.keys()].join(", ")}`), h(Original, properties));
    };

    /** The description of a problem, whose codes link to their pages. */
    function linked(response) {
      const examples = response.getIn(["content", "application/problem+json", "examples"]);
      return response.get("description").replace(/`(\w+)`/g, (name, code) =>
        examples?.has(code) ? `[${name}](/problems/${code})` : name);
    }

    const Parameters = (Original) => function Parameters(properties) {
      const [path, method] = properties.pathMethod;
      const command = terminal(path, operationAt(path, method));
      return h(Fragment, {}, command && h("div", { className: "terminal" },
        h("p", {}, "The answer does not end by itself. Try it in a terminal:"),
        h("pre", {}, h("code", {}, command))), h(Original, properties));
    };

    return {
      components: { Page, authorizationPopup: SignIn },
      wrapComponents: { headers: Headers, parameters: Parameters, responses: Responses },
      fn: { opsFilter },
      statePlugins: {
        spec: {
          wrapSelectors: {
            allowTryItOutFor: () => (_, path, method) => !terminal(path, operationAt(path, method)),
          },
        },
      },
    };
  }

  /** The command that shows an answer without an end. */
  function terminal(path, operation) {
    const url = `${location.origin}${base}${path}`;
    if (operation?.responses[101]) {
      return `npx wscat --connect '${url.replace(/^http/, "ws")}' --execute '{"type": "anonymous"}' --wait 60`;
    }
    if (operation?.responses[200]?.content?.["text/event-stream"]) return `curl -N '${url}'`;
  }
}

/** The operations whose path, name or summary has the phrase, in the groups that they belong to. */
function opsFilter(groups, phrase) {
  const wanted = phrase.toLowerCase();
  const fits = (one) => [one.get("method"), one.get("path"), ...["operationId", "summary"].map((key) => one.getIn(["operation", key]))]
    .join(" ").toLowerCase().includes(wanted);
  return groups
    .map((group) => group.update("operations", (operations) => operations.filter(fits)))
    .filter((group) => group.get("operations").size > 0);
}

fetch("/openapi.json")
  .then((response) => response.json())
  .then(start)
  .catch((error) => {
    document.getElementById("ui").textContent = `The document cannot be shown: ${error.message}`;
    throw error;
  });
