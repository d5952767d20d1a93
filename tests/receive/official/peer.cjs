// Signs and verifies with the official library: one JSON object on standard input, the answer on standard output.

const { readFileSync } = require("node:fs");
const { Webhook } = require("standardwebhooks");

const asked = JSON.parse(readFileSync(0, "utf8"));
const webhook = new Webhook(asked.secret);
if (process.argv[2] === "sign") {
  console.log(webhook.sign(asked.id, new Date(asked.timestamp * 1000), asked.body));
} else {
  console.log(JSON.stringify(webhook.verify(asked.body, asked.headers)));
}
