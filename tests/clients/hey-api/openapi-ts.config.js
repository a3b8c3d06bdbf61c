export default {
  input: process.env.SPEC,
  output: "polls",
  plugins: [
    "@hey-api/client-fetch",
    // Times become Dates, in what is answered as in its type. Numbers of votes stay numbers.
    { name: "@hey-api/transformers", dates: true, bigInt: false },
    { name: "@hey-api/sdk", transformer: true },
  ],
};
