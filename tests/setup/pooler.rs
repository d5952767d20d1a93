//! A real PgBouncer in transaction mode, which lends the same server to one client after the other.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::MetadataExt, process::CommandExt},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rowhook::{
    postgres::address::Address,
    setup::{LockPolicy, check::check, setup, teardown::teardown},
};

use crate::{
    bookstore::{CLUSTER, bookstore, connect},
    queries::texts,
};

/// A running PgBouncer. It ends with the test.
struct Bouncer {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Bouncer {
    fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let file = folder.path().join("pgbouncer.ini");
        let server = CLUSTER.port();
        fs::write(
            &file,
            format!(
                "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n{settings}\n"
            ),
        )
        .unwrap();
        // It refuses to run as root, as Postgres does.
        let owner = fs::metadata(CLUSTER.data()).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        std::os::unix::fs::chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        let mut command = Command::new("pgbouncer");
        if nix_is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let process = command
            .arg(&file)
            .env("PATH", "/usr/sbin:/usr/bin:/bin")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("run pgbouncer; scripts/install-postgres installs it");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "pgbouncer never listened");
            std::thread::yield_now();
        }
        Self {
            process,
            port,
            _folder: folder,
        }
    }
}

fn nix_is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// What sessions of the pool still hold.
const LEFT: &str = "select count(*)::text from pg_locks where locktype = 'advisory'
    and database = (select oid from pg_database where datname = current_database())";

#[tokio::test]
async fn a_pooler_is_recognized_before_anything_is_left_in_it() {
    for settings in ["ignore_startup_parameters = options,extra_float_digits", ""] {
        let (client, mut config) = bookstore().await;
        let pooler = Bouncer::start(settings);
        let database = config.database.address.database.clone();
        let url = format!("postgres://postgres@127.0.0.1:{}/{database}", pooler.port);
        config.database.address = Address::parse(&url).unwrap();
        let told = format!(
            "127.0.0.1:{} is a pooler, which cannot carry a replication session; give the server's own port in [database] url",
            pooler.port
        );

        let set_up = setup(&config, LockPolicy::default(), &|_| {}).await;
        let torn_down = teardown(&config, LockPolicy::default()).await;
        let findings = check(&config, &|_| None).await;

        assert_eq!(set_up.unwrap_err().to_string(), told, "{settings}");
        assert_eq!(torn_down.unwrap_err().to_string(), told, "{settings}");
        assert_eq!(findings[0].what, told, "{settings}");
        assert_eq!(texts(&client, LEFT).await, ["0"], "{settings}");
        assert!(
            texts(
                &client,
                "select nspname::text from pg_namespace where nspname = 'rowhook'"
            )
            .await
            .is_empty()
        );
        if !settings.is_empty() {
            // As an application that gets the same server next.
            let (next, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
                .await
                .unwrap();
            tokio::spawn(connection);
            let path = next.simple_query("show search_path").await.unwrap();
            let shown = path.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            });
            assert_eq!(shown.as_deref(), Some("\"$user\", public"));
        }
        drop(connect(&CLUSTER.url(&database)).await);
    }
}
