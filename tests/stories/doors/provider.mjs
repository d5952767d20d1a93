// A provider of OpenID Connect on a free port of this host. Its first line of output is its issuer. Each line of input
// gives it new keys, under which it forgets the old ones, and is answered with a line.
//
// Arguments: the folder with its package; JSON with `groups` of each person, `inIdToken` and `life` of ID tokens.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.argv[2]}/`);
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));
const { groups, inIdToken, life } = JSON.parse(process.argv[3]);

let number = 0;
function provider(issuer) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  number += 1;
  const key = { ...privateKey.export({ format: "jwk" }), kid: `key ${number}`, use: "sig", alg: "RS256" };
  return new Provider(issuer, {
    clients: [{
      client_id: "rowhook",
      client_secret: "a secret: with + and %",
      // A native application may be at any port of this host.
      application_type: "native",
      redirect_uris: ["http://127.0.0.1/login/callback"],
    }],
    claims: { openid: ["sub"], profile: ["preferred_username"], teams: ["groups"] },
    scopes: ["openid", "profile", "teams"],
    conformIdTokenClaims: !inIdToken,
    cookies: { keys: ["for tests alone"] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: `id of ${id}`, preferred_username: id, groups: groups[id] ?? [] }),
    }),
    jwks: { keys: [key] },
    pkce: { required: () => true },
    subjectTypes: ["public"],
    ttl: { AccessToken: 600, Grant: 600, IdToken: life ?? 600, Interaction: 600, Session: 600 },
  }).callback();
}

let answer;
const server = createServer((request, response) => answer(request, response));
server.listen(0, "127.0.0.1", () => {
  // Another name than the page's: for a browser, it is another site.
  const issuer = `http://localhost:${server.address().port}`;
  answer = provider(issuer);
  console.log(issuer);
  createInterface({ input: process.stdin }).on("line", () => {
    answer = provider(issuer);
    console.log("new keys");
  });
});
