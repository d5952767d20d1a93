// Holds the app against Zapier's schema, as `zapier-platform validate --without-style` does: the same code of the
// platform answers both. This needs neither Zapier's command line nor a login.

const zapier = require("zapier-platform-core");

const App = require("./index");

(async () => {
  const { results } = await zapier.createAppHandler(App)({ command: "validate" });
  for (const { property, message } of results) console.error(`${property}: ${message}`);
  console.log(results.length === 0 ? "valid" : "not valid");
  process.exitCode = results.length === 0 ? 0 : 1;
})();
