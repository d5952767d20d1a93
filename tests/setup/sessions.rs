//! Sessions of rowhook where server, database, role or somebody in between would have them otherwise.

use std::{fs, process::Command, sync::Arc};

use rowhook::{
    config::Action,
    demo::cluster::Cluster,
    postgres::{address::Address, password_command::PasswordCommand, replication::Connection},
    setup::{LockPolicy, check::Level, setup, teardown::teardown},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    bookstore::{Build, CLUSTER, bookstore, config, connect, findings, set_up},
    queries::{texts, traces},
};

#[tokio::test]
async fn a_database_whose_sessions_read_only_is_set_up_and_is_no_standby() {
    for wanted in ["any", "read-write", "primary"] {
        let (client, mut config) = bookstore().await;
        let database = config.database.address.database.clone();
        client
            .batch_execute(&format!(
                "alter database {database} set default_transaction_read_only = on"
            ))
            .await
            .unwrap();
        let url = CLUSTER.url(&database);
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}target_session_attrs={wanted}");
        config.database.address = Address::parse(&url).unwrap();

        set_up(&config).await;

        let warned = findings(&config, Level::Warn).await.join("\n");
        assert!(!warned.contains("standby"), "{wanted}: {warned}");
        teardown(&config, LockPolicy::default()).await.unwrap();
    }
}

#[tokio::test]
async fn limits_that_are_meant_for_the_application_do_not_count_for_us() {
    let (client, config) = bookstore().await;
    let database = &config.database.address.database;
    let mut limits = vec![
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        "statement_timeout",
        "lock_timeout",
    ];
    let version = texts(&client, "select current_setting('server_version_num')").await;
    if version[0].as_str() >= "170000" {
        limits.push("transaction_timeout");
    }
    for limit in &limits {
        let sql = format!("alter database {database} set {limit} = '3s'");
        client.batch_execute(&sql).await.unwrap();
    }

    let session = config.database.address.connect("test").await.unwrap();

    for limit in limits {
        let sql = format!("select current_setting('{limit}')");
        assert_eq!(texts(&session, &sql).await, ["0"], "{limit}");
    }
}

#[tokio::test]
async fn a_command_prints_a_password_for_each_connection() {
    let cluster = Cluster::start(&[]).unwrap();
    let client = connect(&cluster.url("postgres")).await;
    client
        .batch_execute("create role ada login replication password 'now'")
        .await
        .unwrap();
    let hba =
        "host postgres ada 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n";
    fs::write(cluster.data().join("pg_hba.conf"), hba).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let runs = folder.path().join("runs");
    let script = format!(
        "echo run >> '{}'; cat '{}'",
        runs.display(),
        token.display()
    );
    let mut address = Address::parse(&format!(
        "postgres://ada@127.0.0.1:{}/postgres",
        cluster.port()
    ))
    .unwrap();
    let words = ["sh".to_owned(), "-c".to_owned(), script];
    address.password_command = PasswordCommand::new(words.to_vec()).map(Arc::new);
    let mut cluster = cluster;
    cluster.stop(rowhook::demo::cluster::Stop::Fast).unwrap();
    cluster.start_again().unwrap();

    fs::write(&token, "now\n").unwrap();
    address.connect("test").await.unwrap();
    Connection::open(&address, "test", &[]).await.unwrap();
    fs::write(&token, "then\n").unwrap();
    let refused = address.connect("test").await.unwrap_err().to_string();
    fs::remove_file(&token).unwrap();
    let failed = Connection::open(&address, "test", &[]).await.err().unwrap();

    assert!(refused.contains("refuses the password of ada"), "{refused}");
    assert!(failed.is_transient());
    assert_eq!(
        failed.to_string(),
        format!(
            "no password for 127.0.0.1:{}: sh ended with exit status: 1; what it prints is not shown here; run [database] password_command by hand",
            cluster.port()
        )
    );
    assert_eq!(fs::read_to_string(runs).unwrap(), "run\n".repeat(4));
}

#[tokio::test]
async fn channel_binding_keeps_somebody_in_between_out_of_both_sessions() {
    let cluster = Cluster::start(&[]).unwrap();
    let client = connect(&cluster.url("postgres")).await;
    client
        .batch_execute("create role ada login replication password 'pw'")
        .await
        .unwrap();
    let hba =
        "host postgres ada 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n";
    fs::write(cluster.data().join("pg_hba.conf"), hba).unwrap();
    let mut cluster = cluster;
    cluster.stop(rowhook::demo::cluster::Stop::Fast).unwrap();
    cluster.start_again().unwrap();
    let port = in_between(cluster.port()).await;
    let url = |query: &str| {
        let url = format!("postgres://ada:pw@127.0.0.1:{port}/postgres?sslmode=require{query}");
        Address::parse(&url).unwrap()
    };

    let careless = url("");
    let careful = url("&channel_binding=require");
    let demanding = url("&require_auth=md5");

    careless.connect("test").await.unwrap();
    Connection::open(&careless, "test", &[]).await.unwrap();
    for (address, said) in [
        (&careful, "the session is not bound to its TLS connection"),
        (
            &demanding,
            "the server uses scram-sha-256, which require_auth excludes",
        ),
    ] {
        let session = address.connect("test").await.err().unwrap().to_string();
        let stream = Connection::open(address, "test", &[]).await;
        assert!(session.contains(said), "{session}");
        assert_eq!(stream.err().unwrap().to_string(), session);
    }
}

/// Somebody who ends TLS with a certificate of their own, and passes on what is said.
async fn in_between(server: u16) -> u16 {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .current_dir(folder.path())
        .args(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -out x.pem -keyout x.key"
                .split(' '),
        )
        .output()
        .unwrap();
    assert!(made.status.success());
    let certificate = CertificateDer::from_pem_file(folder.path().join("x.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.path().join("x.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                client.read_exact(&mut [0; 8]).await?;
                client.write_all(b"S").await?;
                let mut client = acceptor.accept(client).await?;
                let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    port
}

#[tokio::test]
async fn teardown_by_a_role_that_owns_nothing_removes_nothing_and_says_whose_it_is() {
    let (client, config) = bookstore().await;
    let mut theirs = config.full("book");
    set_up(&theirs).await;
    let before = traces(&client).await;
    let slot = theirs.database.slot.clone();
    let stranger = format!("stranger_{slot}");
    client
        .batch_execute(&format!("create role {stranger} login"))
        .await
        .unwrap();
    theirs.database.address.user = stranger.clone();

    let told = teardown(&theirs, LockPolicy::default())
        .await
        .unwrap_err()
        .to_string();

    assert_eq!(traces(&client).await, before);
    client
        .batch_execute(&format!("drop role {stranger}"))
        .await
        .unwrap();
    let told = told
        .replace(&stranger, "ROLE")
        .replace(slot.as_str(), "SLOT");
    assert!(
        told.contains("the publication rowhook belongs to postgres, and ROLE may not remove it; run rowhook teardown as postgres, or: grant \"postgres\" to \"ROLE\""),
        "{told}"
    );
    assert!(
        told.contains("the schema rowhook belongs to postgres"),
        "{told}"
    );
    assert!(told.contains("ROLE may not drop the slot SLOT"), "{told}");
}

#[tokio::test]
async fn the_remedies_of_a_managed_service_are_in_its_words() {
    let cluster = Cluster::start(&["wal_level=replica"]).unwrap();
    let client = connect(&cluster.url("postgres")).await;
    client
        .batch_execute("create table book (id integer primary key); create role feeble login")
        .await
        .unwrap();
    for (mark, name, logical, replication) in [
        (
            "role rds_superuser",
            "Amazon RDS",
            "rds.logical_replication = 1",
            "grant rds_replication to \"feeble\"",
        ),
        (
            "role cloudsqlsuperuser",
            "Google Cloud SQL",
            "cloudsql.logical_decoding = on",
            "alter role \"feeble\" replication",
        ),
        (
            "role azure_pg_admin",
            "Azure Database",
            "server parameter wal_level",
            "azure_pg_admin",
        ),
        (
            "role neon_superuser",
            "Neon",
            "Neon console",
            "neon_superuser",
        ),
        (
            "role supabase_admin",
            "Supabase",
            "its support",
            "as postgres",
        ),
        (
            "role tsdbadmin",
            "Tiger Cloud",
            "Database parameters",
            "as tsdbadmin",
        ),
        ("schema heroku_ext", "Heroku Postgres", "Heroku", "Heroku"),
    ] {
        client
            .batch_execute(&format!("create {mark}"))
            .await
            .unwrap();
        let mut config =
            config(&cluster.url("postgres"), "shop").event("book.added", "book", Action::Created);
        config.database.address.user = "feeble".into();

        let found = findings(&config, Level::Note).await.join("\n");
        let refused = setup(&config, LockPolicy::default(), &|_| {}).await;

        client.batch_execute(&format!("drop {mark}")).await.unwrap();
        assert!(found.contains(&format!("this is {name}")), "{found}");
        assert!(found.contains(logical), "{name}: {found}");
        assert!(found.contains(replication), "{name}: {found}");
        assert!(refused.unwrap_err().to_string().contains(logical), "{name}");
    }
}
