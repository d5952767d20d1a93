// The trigger, as a REST hook: a Zap that is switched on makes a hook through the API of rowhook, and one that is
// switched off deletes it. Zapier answers 410 for a Zap that is gone, which disables its hook.

// With the payload `row`, the columns of the row are the fields that later steps choose from.
const PAYLOAD = "row";

const api = (bundle) => `${bundle.authData.url}/api`;

// What this returns comes back as `bundle.subscribeData`.
const subscribe = async (z, bundle) => {
  const hook = { event: bundle.inputData.event, target: bundle.targetUrl, payload: PAYLOAD, description: "Zapier" };
  const response = await z.request({ method: "POST", url: `${api(bundle)}/hooks`, body: hook });
  return { id: response.data.id };
};

const unsubscribe = async (z, bundle) => {
  const id = encodeURIComponent(bundle.subscribeData.id);
  await z.request({ method: "DELETE", url: `${api(bundle)}/hooks/${id}` });
  return { id: bundle.subscribeData.id };
};

// One request is one event.
const perform = (z, bundle) => [bundle.cleanedRequest];

// What Zapier shows while a Zap is set up, when nothing has happened yet.
const performList = async (z, bundle) => {
  const name = encodeURIComponent(bundle.inputData.event);
  const response = await z.request({ url: `${api(bundle)}/events/${name}/samples`, params: { payload: PAYLOAD } });
  return response.data;
};

module.exports = {
  key: "event",
  noun: "Event",
  display: { label: "New Event", description: "Triggers when an event happens in the application." },
  operation: {
    type: "hook",
    inputFields: [{ key: "event", label: "Event", required: true, dynamic: "event_name.id.name" }],
    performSubscribe: subscribe,
    performUnsubscribe: unsubscribe,
    perform,
    performList,
    sample: { id: 1, title: "Dune" },
  },
};
