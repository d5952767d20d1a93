// The events of the application, for the list that a user chooses from. It is no trigger of its own, and hidden.

const perform = async (z, bundle) => {
  const response = await z.request({ url: `${bundle.authData.url}/api/events` });
  return response.data.map(({ name, description }) => ({ id: name, name: description ?? name }));
};

module.exports = {
  key: "event_name",
  noun: "Event Name",
  display: { label: "Event Names", description: "Lists the events of the application.", hidden: true },
  operation: { perform, sample: { id: "book.added", name: "book.added" } },
};
