//! Connections over sockets, with passwords, and with TLS.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::Command,
    time::Duration,
};

use rowhook::{
    demo::cluster::Cluster,
    postgres::{address::Address, replication::Session},
};
use tokio::time::timeout;

use crate::{
    bookstore::{CLUSTER, connect},
    queries::texts,
};

#[tokio::test]
async fn a_unix_socket_does() {
    let folder = CLUSTER.socket_folder().display();
    let url = format!(
        "postgres://postgres@/postgres?host={folder}&port={}&sslmode=require",
        CLUSTER.port()
    );

    let client = connect(&url).await;

    assert_eq!(
        texts(
            &client,
            "select coalesce(inet_client_addr()::text, 'socket')"
        )
        .await,
        ["socket"]
    );
    replicate(&url).await.unwrap();
}

#[tokio::test]
async fn a_password_is_asked_for_and_checked() {
    let cluster = Cluster::start(&[]).unwrap();
    let client = connect(&cluster.url("postgres")).await;
    client
        .batch_execute("create role ada login replication password 's3 cret/@'")
        .await
        .unwrap();
    let hba =
        "host postgres ada 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n";
    fs::write(cluster.data().join("pg_hba.conf"), hba).unwrap();
    client
        .batch_execute("select pg_reload_conf()")
        .await
        .unwrap();
    let at = format!("127.0.0.1:{}", cluster.port());
    let url = |password: &str| format!("postgres://ada{password}@{at}/postgres");
    let told = async |url: String| match Address::parse(&url).unwrap().connect("test").await {
        Ok(_) => "in".into(),
        Err(error) => error.to_string().replace(&at, "HOST"),
    };

    // The server reads pg_hba.conf a moment after pg_reload_conf() has returned.
    let asked = async {
        while told(url("")).await == "in" {
            tokio::task::yield_now().await
        }
    };
    timeout(Duration::from_secs(10), asked)
        .await
        .expect("pg_hba.conf was never read");
    assert_eq!(
        told(url("")).await,
        "HOST wants a password for ada; give it in [database] url or PGPASSWORD"
    );
    assert_eq!(
        told(url(":wrong")).await,
        "HOST refuses the password of ada; correct it in [database] url or PGPASSWORD"
    );
    assert_eq!(told(url(":s3%20cret%2F%40")).await, "in");
    assert_eq!(
        told(format!("postgres://ada:x@{at}/template1")).await,
        "HOST lets ada not into template1 from here without TLS; add a line to pg_hba.conf, or use sslmode=require"
    );
    replicate(&url(":s3%20cret%2F%40")).await.unwrap();
    let refused = replicate(&url(":wrong")).await.unwrap_err();
    assert_eq!(
        refused.replace(&at, "HOST"),
        "HOST refuses the password of ada; correct it in [database] url or PGPASSWORD"
    );
}

#[tokio::test]
async fn tls_is_verified_as_far_as_the_mode_says() {
    let cluster = Cluster::start(&[]).unwrap();
    let certificates = tempfile::tempdir().unwrap();
    let authority = certificates.path().join("ca.pem");
    serve_tls(&cluster, certificates.path(), "localhost").await;
    let stranger = certificates.path().join("stranger.pem");
    certify(certificates.path(), "stranger", "someone", None);
    let url = |host: &str, query: &str| {
        format!(
            "postgres://postgres@{host}:{}/postgres?{query}",
            cluster.port()
        )
    };
    let roots = |mode: &str, file: &Path| format!("sslmode={mode}&sslrootcert={}", file.display());
    let both = async |url: String| {
        let session = Address::parse(&url).unwrap().connect("test").await;
        let replication = replicate(&url).await;
        assert_eq!(
            session.is_ok(),
            replication.is_ok(),
            "{url}: {replication:?}"
        );
        match session {
            Ok(client) => texts(
                &client,
                "select version from pg_stat_ssl where pid = pg_backend_pid()",
            )
            .await
            .remove(0),
            Err(error) => error
                .to_string()
                .replace(&cluster.port().to_string(), "PORT"),
        }
    };

    assert_eq!(both(url("127.0.0.1", "sslmode=require")).await, "TLSv1.3");
    assert_eq!(
        both(url("localhost", &roots("verify-full", &authority))).await,
        "TLSv1.3"
    );
    assert_eq!(
        both(url("127.0.0.1", &roots("verify-ca", &authority))).await,
        "TLSv1.3"
    );
    assert!(both(url("127.0.0.1", &roots("verify-full", &authority))).await.starts_with("no TLS with 127.0.0.1:PORT: invalid peer certificate: certificate not valid for name"));
    assert!(
        both(url("localhost", &roots("verify-ca", &stranger)))
            .await
            .starts_with("no TLS with localhost:PORT: invalid peer certificate")
    );
    assert_eq!(
        both(url("localhost", "sslmode=verify-full")).await,
        "no TLS with localhost:PORT: invalid peer certificate: UnknownIssuer; see sslmode and sslrootcert in [database] url"
    );
}

/// Opens a replication session, and runs IDENTIFY_SYSTEM in it.
async fn replicate(url: &str) -> Result<(), String> {
    let address = Address::parse(url).unwrap();
    let session = Session::open(&address, "test", &[]).await;
    let mut session = session.map_err(|error| error.to_string())?;
    session.identify().await.unwrap();
    Ok(())
}

/// Gives the server a certificate for `host`, signed by `ca.pem` in `folder`.
async fn serve_tls(cluster: &Cluster, folder: &Path, host: &str) {
    use std::os::unix::fs::MetadataExt;
    certify(folder, "ca", "authority", None);
    certify(folder, "server", host, Some("ca"));
    let owner = fs::metadata(cluster.data()).unwrap();
    for file in ["server.pem", "server.key"] {
        let copy = cluster.data().join(file);
        fs::copy(folder.join(file), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&copy, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let client = connect(&cluster.url("postgres")).await;
    for setting in [
        "ssl_cert_file = 'server.pem'",
        "ssl_key_file = 'server.key'",
        "ssl = on",
    ] {
        client
            .batch_execute(&format!("alter system set {setting}"))
            .await
            .unwrap();
    }
    client
        .batch_execute("select pg_reload_conf()")
        .await
        .unwrap();
    let on = async {
        while texts(
            &connect(&cluster.url("postgres")).await,
            "select current_setting('ssl')",
        )
        .await
            != ["on"]
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), on)
        .await
        .expect("the server never turned TLS on");
}

/// Makes `name.pem` and `name.key` for `subject`: an authority, or a server signed by `authority`.
fn certify(folder: &Path, name: &str, subject: &str, authority: Option<&str>) {
    let mut openssl = Command::new("openssl");
    openssl
        .current_dir(folder)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", &format!("/CN={subject}")])
        .args([
            "-out",
            &format!("{name}.pem"),
            "-keyout",
            &format!("{name}.key"),
        ]);
    match authority {
        None => openssl.args(["-addext", "keyUsage=keyCertSign"]),
        Some(authority) => openssl
            .args([
                "-CA",
                &format!("{authority}.pem"),
                "-CAkey",
                &format!("{authority}.key"),
            ])
            .args(["-addext", "basicConstraints=critical,CA:false"])
            .args(["-addext", &format!("subjectAltName=DNS:{subject}")]),
    };
    let made = openssl.output().expect("run openssl");
    assert!(
        made.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}
