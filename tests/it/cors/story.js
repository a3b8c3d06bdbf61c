// What a single-page application of another origin does. Returns what its Rust half looks at.
const api = `${arguments[0]}/api/v1`;

const call = async (method, path, { token, json, form, headers = {} } = {}) => {
  if (token) headers.Authorization = `Bearer ${token}`;
  if (json) headers["Content-Type"] = "application/json";
  const body = json ? JSON.stringify(json) : form && new URLSearchParams(form);
  const answer = await fetch(api + path, { method, headers, body });
  const text = await answer.text();
  return {
    status: answer.status,
    headers: Object.fromEntries(answer.headers),
    json: text ? JSON.parse(text) : null,
  };
};

const firstEvent = async (path, token) => {
  const gone = new AbortController();
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await fetch(api + path, { headers, signal: gone.signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n\n")) text += (await reader.read()).value;
  gone.abort();
  return text;
};

const firstMessage = (path, token) => new Promise((resolve, reject) => {
  const socket = new WebSocket(api.replace("http", "ws") + path);
  socket.onopen = () => socket.send(JSON.stringify({ type: "authenticate", access_token: token }));
  socket.onmessage = (message) => { socket.close(); resolve(JSON.parse(message.data)); };
  socket.onerror = () => reject(new Error("the socket failed"));
});

const account = { name: "Ada", email: "ada@example.org", password: arguments[1] };
const registered = await call("POST", "/users", { json: account });
const password = { grant_type: "password", username: account.email, password: account.password };
const signedIn = await call("POST", "/auth/token", { form: password });
const { refresh_token } = signedIn.json;
const refreshed = await call("POST", "/auth/token", { form: { grant_type: "refresh_token", refresh_token } });
const token = refreshed.json.access_token;

const asked = await call("POST", "/questions", {
  token, json: { question_text: "Which?", choices: [{ choice_text: "this" }, { choice_text: "that" }] },
});
const path = `/questions/${asked.json.id}`;
const choice_ids = [asked.json.choices[1].id];
const voted = await call("PUT", `${path}/ballot`, { token, json: { choice_ids } });
const results = await call("GET", `${path}/results`, { token });
const read = await call("GET", path, { token });
const ifSame = { "If-None-Match": read.headers.etag };
const unchanged = await call("GET", path, { token, headers: ifSame });
const stale = { "If-Match": '"another"' };
const refused = await call("PATCH", path, { token, json: { question_text: "Whether?" }, headers: stale });
const event = await firstEvent(`${path}/results/live`, token);
const message = await firstMessage(`${path}/results/ws`, token);
const withdrawn = await call("DELETE", `${path}/ballot`, { token });
const signedOut = await call("POST", "/auth/revoke", { form: { token: refreshed.json.refresh_token } });
return {
  origin: location.origin,
  registered, signedIn, refreshed, asked, voted, results, unchanged, refused, event, message,
  withdrawn, signedOut,
};
