//! A server that cannot read its own WAL, which has happened on 15.18 with tables that are altered all the time: nobody
//! can judge rowhook by what it cannot be told.

use std::time::Duration;

use harness::{Cluster, Database, connect};
use tokio_postgres::error::SqlState;

/// What decoding says then. Other errors are rowhook's to get along with.
const SAYS: &str = "unexpected duplicate for tablespace";

/// What the server says when it is asked for the changes of rowhook's slot, without rowhook.
pub struct Undecodable(pub String);

/// Resolves once the server has failed to decode, and does again when the test itself asks for the same changes.
pub async fn found(cluster: &Cluster, database: &Database) -> Undecodable {
    let client = connect(&database.url).await;
    let sql = format!(
        "select count(*) from pg_logical_slot_peek_binary_changes('{slot}', null, null, 'proto_version', '1', \
         'publication_names', (select string_agg(quote_ident(pubname), ',') from pg_publication), 'messages', 'true')",
        slot = database.name
    );
    let mut looks = tokio::time::interval(Duration::from_secs(2));
    loop {
        looks.tick().await;
        if !cluster.log().contains(SAYS) {
            continue;
        }
        // Where rowhook has the slot just now, it is free again at another look.
        let Err(error) = client.query_one(&sql, &[]).await else {
            continue;
        };
        if let Some(error) = error.as_db_error()
            && *error.code() == SqlState::INTERNAL_ERROR
        {
            return Undecodable(error.message().to_owned());
        }
    }
}
