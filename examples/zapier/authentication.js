// A user logs in with the address of your rowhook and a token of their own (`rowhook tokens add OWNER`). In an app for
// one rowhook, write its address in place of that field.

// Fails for a token that is not good.
const test = (z, bundle) => z.request({ url: `${bundle.authData.url}/api/hooks`, params: { limit: 1 } });

module.exports = {
  type: "custom",
  test,
  connectionLabel: (z, bundle) => bundle.authData.url,
  fields: [
    { key: "url", label: "Address", required: true, helpText: "Such as https://hooks.example.com, without /api" },
    { key: "token", label: "Token", required: true, type: "password", helpText: "Your application shows it." },
  ],
};
