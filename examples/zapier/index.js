// The app: how a user logs in, the trigger that Zaps begin with, and the list of events that it is chosen from.

const { version: platformVersion } = require("zapier-platform-core");

const authentication = require("./authentication");
const event = require("./triggers/event");
const eventNames = require("./triggers/event_names");
const { version } = require("./package.json");

// z.request throws for answers from 400 on, with what the API says is wrong.
const addToken = (request, z, bundle) => {
  if (bundle.authData.token) request.headers.Authorization = `Bearer ${bundle.authData.token}`;
  return request;
};

module.exports = {
  version,
  platformVersion,
  authentication,
  beforeRequest: [addToken],
  triggers: { [event.key]: event, [eventNames.key]: eventNames },
};
