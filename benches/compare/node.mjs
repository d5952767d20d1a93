// What a Node programmer would write: pg-logical-replication and a POST for each inserted row, as many at a time as for a hook
// of rowhook by default. The WAL is acknowledged as it is read, so a crash loses what is in flight.
//
// DATABASE_PORT, DATABASE, SLOT and PUBLICATION name the source, and TARGET the URL to post to.

import { LogicalReplicationService, PgoutputPlugin } from "pg-logical-replication";
import { Agent, request } from "undici";

const { DATABASE_PORT, DATABASE, SLOT, PUBLICATION, TARGET } = process.env;
const dispatcher = new Agent({ connections: 16 });
const database = { host: "127.0.0.1", port: Number(DATABASE_PORT), database: DATABASE, user: "postgres" };
const service = new LogicalReplicationService(database, { acknowledge: { auto: true, timeoutSeconds: 10 } });

service.on("data", async (lsn, log) => {
  if (log.tag !== "insert" || log.relation.name !== "book") return;
  const body = JSON.stringify({ event: "book.added", lsn, data: log.new });
  const headers = { "content-type": "application/json" };
  const answer = await request(TARGET, { method: "POST", headers, body, dispatcher });
  await answer.body.dump();
});
service.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
await service.subscribe(new PgoutputPlugin({ protoVersion: 1, publicationNames: [PUBLICATION] }), SLOT);
