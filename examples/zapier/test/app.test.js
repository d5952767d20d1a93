// Tries the app against a running rowhook: ROWHOOK_URL is its address, ROWHOOK_TOKEN a token of an owner, and EVENT one
// of its events. A server of this test stands for Zapier, so rowhook must be able to reach 127.0.0.1.

const assert = require("node:assert");
const { createServer } = require("node:http");
const { once } = require("node:events");
const { after, before, test } = require("node:test");
const zapier = require("zapier-platform-core");

const App = require("../index");

const appTester = zapier.createAppTester(App);
const { ROWHOOK_URL: url, ROWHOOK_TOKEN: token, EVENT: event } = process.env;
const bundle = (more) => ({ authData: { url, token }, inputData: { event }, ...more });
const { operation } = App.triggers.event;
const server = createServer();

before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
after(() => server.close());

/** The next request that rowhook makes. */
const heard = async () => {
  const [request, response] = await once(server, "request");
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  response.end();
  return JSON.parse(Buffer.concat(chunks));
};

test("a good token is good, and another is not", async () => {
  await appTester(App.authentication.test, bundle());
  const stranger = { authData: { url, token: "rhk_nobody" } };
  await assert.rejects(appTester(App.authentication.test, stranger), /401/);
});

test("a user chooses from the events of the application", async () => {
  const names = await appTester(App.triggers.event_name.operation.perform, bundle());
  assert.ok(names.some(({ id }) => id === event), JSON.stringify(names));
});

test("there is a sample before anything has happened", async () => {
  const samples = await appTester(operation.performList, bundle());
  assert.ok(samples.length > 0 && samples.every((sample) => typeof sample === "object"), JSON.stringify(samples));
});

test("a Zap that is switched on is sent what happens, until it is switched off", async () => {
  const targetUrl = `http://127.0.0.1:${server.address().port}/`;
  const subscribeData = await appTester(operation.performSubscribe, bundle({ targetUrl }));
  const api = { headers: { authorization: `Bearer ${token}` } };
  const hook = `${url}/api/hooks/${subscribeData.id}`;
  const [sent, tried] = await Promise.all([heard(), fetch(`${hook}/test`, { ...api, method: "POST" })]);
  assert.strictEqual((await tried.json()).delivered, true);
  const [result] = await appTester(operation.perform, bundle({ cleanedRequest: sent }));
  assert.strictEqual(result.test, true);

  await appTester(operation.performUnsubscribe, bundle({ subscribeData }));
  assert.strictEqual((await fetch(hook, api)).status, 404);
});
