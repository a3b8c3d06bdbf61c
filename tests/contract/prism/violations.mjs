// Makes every call fail whose request or answer Prism finds to differ from the document. Requests
// may differ only where the server refuses them.
const send = globalThis.fetch;
let checked = 0;

globalThis.fetch = async (...request) => {
  const answer = await send(...request);
  const violations = JSON.parse(answer.headers.get("sl-violations") ?? "[]");
  const refused = answer.status >= 400 && answer.status < 500;
  const unexpected = violations.filter(({ location }) => location[0] !== "request" || !refused);
  if (unexpected.length > 0) {
    throw new Error(`${answer.status} ${answer.url}: ${JSON.stringify(unexpected, undefined, 2)}`);
  }
  checked++;
  return answer;
};

process.on("exit", () => {
  if (checked > 0) console.log(`${checked} answers are as the document says`);
});
