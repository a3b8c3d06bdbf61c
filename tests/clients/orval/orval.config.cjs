module.exports = {
  // One function for each call. Its answer is a union: the status decides which data it has.
  polls: {
    input: process.env.SPEC,
    output: { target: "polls.ts", client: "fetch", baseUrl: process.env.POLLS_URL },
  },
  // What is sent and answered, as zod schemas that check it when the program runs.
  schemas: {
    input: process.env.SPEC,
    output: { target: "schemas.ts", client: "zod" },
  },
};
