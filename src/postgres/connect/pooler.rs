//! Connection poolers. One that lends servers for a transaction would leave what a session sets to the next client, and
//! carries no replication session. So it is recognized before the first statement that leaves something.

use tokio_postgres::{Client, SimpleQueryMessage};

/// A setting of every ordinary session, made on its way in.
const OURS: &str = "select source from pg_catalog.pg_settings where name = 'row_security'";

/// What poolers say to a session whose settings they cannot pass on.
const REFUSALS: [&str; 3] = [
    "unsupported startup parameter",
    "doesn't support command-line options",
    "does not support command-line options",
];

/// Whether an error is that of a pooler, and not of a server.
pub(super) fn refuses(message: &str) -> bool {
    REFUSALS.iter().any(|refusal| message.contains(refusal))
}

/// Whether the server that answers began its session with our settings. One that a pooler lends began with others, and
/// settings that a pooler makes again each time were not made by whoever logged in.
///
/// # Errors
/// If the connection fails.
pub(super) async fn keeps_session(client: &Client) -> Result<bool, tokio_postgres::Error> {
    // The simple protocol, since the other one prepares a statement, which would be left in the server.
    let answer = client.simple_query(OURS).await?;
    Ok(answer.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("client"),
        _ => false,
    }))
}

/// How to get past the pooler at this host, in the words of the service that runs it.
pub(super) fn way_around(at: &str) -> &'static str {
    let (name, port) = at.rsplit_once(':').unwrap_or((at, ""));
    if name.ends_with(".pooler.supabase.com") {
        "give the direct connection of Supabase in [database] url: db.<project>.supabase.co, port 5432; without the IPv4 add-on it is reached over IPv6 alone"
    } else if name.ends_with(".supabase.co") {
        "give the direct connection of Supabase in [database] url: port 5432"
    } else if name.ends_with(".neon.tech") {
        "give Neon's direct host in [database] url: the same name without -pooler"
    } else if name.ends_with(".postgres.database.azure.com") {
        "give the server's own port in [database] url: 5432, where Azure's PgBouncer has 6432"
    } else if name.ends_with(".postgresbridge.com") {
        "give the server's own port in [database] url: 5432, where Crunchy Bridge's PgBouncer has 5431"
    } else if name.contains(".proxy-") && name.ends_with(".rds.amazonaws.com") {
        "give the endpoint of the instance or cluster in [database] url, and not that of RDS Proxy"
    } else if name.ends_with(".tsdb.cloud.timescale.com") {
        "give the service's own port in [database] url, and not that of its connection pooler"
    } else if port == "6432" {
        "give the server's own port in [database] url, such as 5432"
    } else {
        "give the server's own port in [database] url"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pooler_of_a_service_is_known_by_its_host() {
        for (at, said) in [
            (
                "aws-0-eu-west-1.pooler.supabase.com:6543",
                "db.<project>.supabase.co",
            ),
            ("db.abc.supabase.co:6543", "port 5432"),
            (
                "ep-x-1-pooler.eu-west-2.aws.neon.tech:5432",
                "without -pooler",
            ),
            ("shop.postgres.database.azure.com:6432", "Azure's PgBouncer"),
            ("p.abc.db.postgresbridge.com:5431", "Crunchy Bridge's"),
            ("x.proxy-abc.eu-west-1.rds.amazonaws.com:5432", "RDS Proxy"),
            ("a.b.tsdb.cloud.timescale.com:33000", "connection pooler"),
            ("localhost:6432", "such as 5432"),
            ("db:5433", "the server's own port in [database] url"),
        ] {
            assert!(way_around(at).contains(said), "{at}: {}", way_around(at));
        }
    }
}
