//! Queries of the catalog.

use tokio_postgres::Client;

/// The rows of a query with one text column.
pub async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Everything that setup could leave behind.
pub async fn traces(client: &Client) -> Vec<String> {
    let slots =
        "select 'slot ' || slot_name from pg_replication_slots where database = current_database()";
    let sql = format!(
        "select 'relation ' || oid::regclass || ' ' || relreplident::text from pg_class where relnamespace::regnamespace::text not in ('pg_catalog', 'pg_toast', 'information_schema')
        union all select 'publication ' || pubname from pg_publication
        union all {slots}
        union all select 'schema ' || nspname from pg_namespace where nspname not like 'pg_%'
        union all select 'function ' || oid::regprocedure from pg_proc where pronamespace > 16384
        order by 1"
    );
    texts(client, &sql).await
}

/// The tables of each publication.
pub async fn published(client: &Client) -> Vec<String> {
    let sql = "select pubname || ' ' || tablename from pg_publication_tables order by 1";
    texts(client, sql).await
}

/// The message and the hint with which Postgres refuses a statement.
pub async fn refusal(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    match error.hint() {
        Some(hint) => format!("{}\n{hint}", error.message()),
        None => error.message().to_owned(),
    }
}
