//! Addresses beside the real psql: for each text, both reach the same server as the same role, with TLS or without, or
//! both refuse. The replication session goes wherever the ordinary one does.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rowhook::{
    demo::cluster::{Cluster, Stop},
    postgres::{address::Address, replication::Connection},
};
use tokio::time::timeout;

use crate::{bookstore::connect, queries::texts};

/// What tells one session from another.
const WHO: &str = "select concat_ws(' ', current_setting('port'), current_user, current_database(),
    (select case when ssl then 'tls' else 'plain' end from pg_stat_ssl where pid = pg_backend_pid()))";

const HBA: &str = "
local all all trust
hostssl all certified 127.0.0.1/32 cert
hostssl all only_tls 127.0.0.1/32 scram-sha-256
hostnossl all only_plain 127.0.0.1/32 trust
host all scram 127.0.0.1/32 scram-sha-256
host all md5 127.0.0.1/32 md5
host all clear 127.0.0.1/32 password
host all certified,only_tls,only_plain 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
";

const ROLES: &str = "
create role scram login replication password 'pw';
create role only_tls login replication password 'pw';
create role clear login replication password 'p:w/?#';
create role only_plain login replication;
create role certified login replication;
set password_encryption = 'md5';
create role md5 login replication password 'pw'";

/// Two servers with TLS, and the files that addresses name.
struct World {
    folder: tempfile::TempDir,
    one: Cluster,
    two: Cluster,
}

impl World {
    async fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            one: Cluster::start(&[]).unwrap(),
            two: Cluster::start(&[]).unwrap(),
        };
        world.openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -out own.pem -keyout own.key");
        world.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -out ca.pem -keyout ca.key");
        world.certify("client", "certified");
        world.openssl("pkcs8 -topk8 -in client.key -out sealed.key -passout pass:open");
        world.certify("old", "localhost");
        world.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -CA ca.pem -CAkey ca.key -addext basicConstraints=CA:false -out new.pem -keyout new.key");
        world.write("index.txt", "", 0o600);
        world.write("ca.cnf", "[ca]\ndefault_ca = all\n[all]\ndatabase = index.txt\ndefault_md = sha256\ndefault_crl_days = 2\ncrlnumber = crlnumber\n", 0o600);
        world.write("crlnumber", "01\n", 0o600);
        let crl = "ca -config ca.cnf -keyfile ca.key -cert ca.pem";
        world.openssl(&format!("{crl} -gencrl -out none.crl"));
        world.openssl(&format!("{crl} -revoke new.pem"));
        world.openssl(&format!("{crl} -gencrl -out revoked.crl"));
        let [one, two] = [world.one.port(), world.two.port()];
        world.write("pass", &format!("# of the second host alone\n127.0.0.1:{one}:*:scram:pw\nlocalhost:{one}:*:scram:wrong\nlocalhost:{two}:*:scram:wrong\n"), 0o600);
        world.write("open.pass", "*:*:*:*:pw\n", 0o644);
        world.write("colon.pass", "*:*:*:*:p\\:w/?#:rest\n", 0o600);
        world.write("services", &format!("[shop]\n# one\nhost=127.0.0.1\nport={one}\nuser=scram\npassword=pw\ndbname=postgres\n[bad]\nno setting\n[odd]\nsslmod=require\n"), 0o600);
        for cluster in [&world.one, &world.two] {
            world.serve(cluster, "own").await;
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn openssl(&self, arguments: &str) {
        let made = Command::new("openssl")
            .current_dir(self.folder.path())
            .args(arguments.split(' '))
            .args(arguments.starts_with("ca ").then_some("-batch"))
            .output()
            .expect("run openssl");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "openssl {arguments}: {said}");
    }

    /// A certificate as the manual of Postgres makes it: signed by an authority, with a common name alone.
    fn certify(&self, name: &str, subject: &str) {
        self.openssl(&format!("req -new -newkey rsa:2048 -nodes -subj /CN={subject} -out {name}.csr -keyout {name}.key"));
        self.openssl(&format!("x509 -req -in {name}.csr -days 2 -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem"));
    }

    /// Starts a server anew with this certificate.
    async fn serve(&self, cluster: &Cluster, name: &str) {
        let owner = fs::metadata(cluster.data()).unwrap();
        for (from, to) in [
            (format!("{name}.pem"), "server.pem"),
            (format!("{name}.key"), "server.key"),
            ("ca.pem".into(), "ca.pem"),
        ] {
            let copy = cluster.data().join(to);
            fs::copy(self.path(&from), &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&copy, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        fs::write(cluster.data().join("pg_hba.conf"), HBA).unwrap();
        let client = connect(&cluster.url("postgres")).await;
        for setting in [
            "ssl = on",
            "ssl_cert_file = 'server.pem'",
            "ssl_key_file = 'server.key'",
            "ssl_ca_file = 'ca.pem'",
        ] {
            let sql = format!("alter system set {setting}");
            client.batch_execute(&sql).await.unwrap();
        }
        if texts(
            &client,
            "select rolname::text from pg_roles where rolname = 'scram'",
        )
        .await
        .is_empty()
        {
            client.batch_execute(ROLES).await.unwrap();
        }
    }

    /// A text of a case, with the ports and the folder in it.
    fn fill(&self, text: &str) -> String {
        let socket = self.one.socket_folder().display().to_string();
        text.replace("{one}", &self.one.port().to_string())
            .replace("{two}", &self.two.port().to_string())
            .replace("{socket}", &socket)
            .replace("{socket%}", &socket.replace('/', "%2F"))
            .replace("{f}", &self.folder.path().display().to_string())
    }

    /// What rowhook's two sessions come to.
    async fn ours(
        &self,
        text: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<String, String> {
        let address = Address::parse_with(text, &|name| environment.get(name).cloned())
            .map_err(|error| error.to_string())?;
        let session = address.connect("test").await;
        let replication = Connection::open(&address, "test", &[]).await;
        assert_eq!(
            session.as_ref().err().map(ToString::to_string),
            replication.as_ref().err().map(ToString::to_string),
            "{text}"
        );
        let client = session.map_err(|error| error.to_string())?;
        Ok(texts(&client, WHO).await.remove(0))
    }

    /// What psql comes to.
    fn psqls(&self, text: &str, environment: &BTreeMap<String, String>) -> Result<String, String> {
        let answer = Command::new(self.one.bin().join("psql"))
            .args(["-X", "-w", "-A", "-t", "-d", text, "-c", WHO])
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .output()
            .expect("run psql");
        match answer.status.success() {
            true => Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&answer.stderr).into_owned()),
        }
    }

    /// The major version of psql.
    fn version(&self) -> u32 {
        let said = Command::new(self.one.bin().join("psql"))
            .arg("--version")
            .output();
        let said = String::from_utf8(said.expect("run psql").stdout).unwrap();
        let number = said.split(' ').nth(2).unwrap();
        number.split('.').next().unwrap().trim().parse().unwrap()
    }

    /// Holds each case against psql, and against whether it gets in.
    async fn hold(&self, cases: &[(bool, &str)]) {
        let cases: Vec<_> = cases
            .iter()
            .map(|(enters, case)| (14, *enters, *case))
            .collect();
        self.hold_since(&cases).await;
    }

    /// The same of parameters that psql has since a version. What an older one says of them does not count.
    async fn hold_since(&self, cases: &[(u32, bool, &str)]) {
        let version = self.version();
        let mut wrong = Vec::new();
        for (since, enters, case) in cases {
            // What stands before the address are variables.
            let mut text = self.fill(case);
            let mut environment = BTreeMap::from([("HOME".to_owned(), self.fill("{f}/home"))]);
            while let Some((pair, rest)) = text.split_once(" ; ") {
                let (name, value) = pair.split_once('=').unwrap();
                environment.insert(name.to_owned(), value.to_owned());
                text = rest.to_owned();
            }
            let ours = timeout(Duration::from_secs(60), self.ours(&text, &environment));
            let ours = ours.await.expect("rowhook never answered");
            let psqls = match *since <= version {
                true => self.psqls(&text, &environment),
                false => ours.clone(),
            };
            if ours.as_ref().ok() != psqls.as_ref().ok() || ours.is_ok() != *enters {
                wrong.push(format!("{case}\n  rowhook: {ours:?}\n  psql:    {psqls:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn restart(cluster: &mut Cluster) {
    cluster.stop(Stop::Fast).unwrap();
    cluster.start_again().unwrap();
}

#[tokio::test]
async fn an_address_leads_where_psql_goes() {
    let mut world = World::new().await;
    restart(&mut world.one);
    restart(&mut world.two);
    let peer = server_user(world.one.socket_folder());
    let own_peer =
        format!("host={{socket}} port={{one}} user=scram dbname=postgres requirepeer={peer}");
    world.hold(&[
        // Who, and with which password.
        (true, "postgres://scram:pw@127.0.0.1:{one}/postgres"),
        (false, "postgres://scram:wrong@127.0.0.1:{one}/postgres"),
        (false, "postgres://scram@127.0.0.1:{one}/postgres"),
        (true, "PGPASSWORD=pw ; postgres://scram@127.0.0.1:{one}/postgres"),
        (false, "PGPASSWORD=pw ; postgres://scram:wrong@127.0.0.1:{one}/postgres"),
        (true, "postgresql://127.0.0.1:{one}/postgres?user=scram&password=pw"),
        (true, "postgres://md5:pw@127.0.0.1:{one}/postgres"),
        (true, "postgres://clear:p%3Aw%2F%3F%23@127.0.0.1:{one}/postgres"),
        (true, "host=127.0.0.1 port={one} user=clear dbname=postgres password='p:w/?#'"),
        (true, "host = 127.0.0.1 port={one} user=clear dbname=postgres passfile={f}/colon.pass"),
        (false, "postgres://scram:p@w@127.0.0.1:{one}/postgres"),
        (false, "postgres://nobody@127.0.0.1:{one}/postgres"),
        (false, "postgres://postgres@127.0.0.1:{one}/nothing"),
        (true, "PGUSER=postgres ; PGPORT={two} ; PGHOST=127.0.0.1 ; PGDATABASE=template1 ; sslmode=disable"),
        (true, "PGUSER=postgres ; PGPORT={two} ; PGHOST=127.0.0.1 ; postgres:///template1"),
        // The password file, for each host of a list.
        (true, "host=localhost,127.0.0.1 port=1,{one} user=scram dbname=postgres passfile={f}/pass"),
        (true, "PGPASSFILE={f}/pass ; postgres://scram@localhost:1,127.0.0.1:{one}/postgres"),
        (false, "host=localhost,127.0.0.1 port={two},{one} user=scram dbname=postgres passfile={f}/pass"),
        (true, "host=127.0.0.1 hostaddr=127.0.0.1 port={one} user=scram dbname=postgres passfile={f}/pass"),
        (false, "host=nowhere.invalid hostaddr=127.0.0.1 port={one} user=scram dbname=postgres passfile={f}/pass"),
        (true, "hostaddr=127.0.0.1 port={one} user=scram dbname=postgres passfile={f}/pass"),
        (false, "host=127.0.0.1 port={one} user=scram dbname=postgres passfile={f}/open.pass"),
        // Hosts.
        (true, "host=nowhere.invalid,127.0.0.1 port={one} user=postgres dbname=postgres connect_timeout=9"),
        (true, "PGHOSTADDR=127.0.0.1 ; host=nowhere.invalid port={one} user=postgres dbname=postgres"),
        (true, "host=127.0.0.1,127.0.0.1 port=1,{two} user=postgres dbname=postgres"),
        (false, "host=127.0.0.1,127.0.0.1 port={one},{two} user=nobody dbname=postgres"),
        (false, "host=127.0.0.1,127.0.0.1 port=1,2,{one} user=postgres dbname=postgres"),
        (false, "host=a,b hostaddr=127.0.0.1 port={one} user=postgres dbname=postgres"),
        (false, "hostaddr=localhost port={one} user=postgres dbname=postgres"),
        (false, "host=127.0.0.1 port=0 user=postgres dbname=postgres"),
        (true, "host={socket} port={one} user=scram dbname=postgres sslmode=verify-full"),
        (true, "postgres://scram@{socket%}:{one}/postgres"),
        (true, "postgres://scram@/postgres?host={socket}&port={one}"),
        (false, "host=@nowhere port={one} user=scram dbname=postgres"),
        (true, &own_peer),
        (false, "host={socket} port={one} user=scram dbname=postgres requirepeer=somebody"),
        (false, "postgres://postgres@[::1:{one}/postgres"),
        (false, "postgres://postgres@[::1]x:{one}/postgres"),
        // Services.
        (true, "PGSERVICEFILE={f}/services ; service=shop"),
        (true, "PGSERVICEFILE={f}/services ; PGSERVICE=shop ; sslmode=prefer"),
        (true, "PGSERVICEFILE={f}/services ; PGPORT=1 ; service=shop"),
        (false, "PGSERVICEFILE={f}/services ; service=shop port=1"),
        (false, "PGSERVICEFILE={f}/services ; service=none"),
        (false, "PGSERVICEFILE={f}/services ; service=bad"),
        (false, "PGSERVICEFILE={f}/services ; service=odd"),
        // With TLS, and without.
        (true, "postgres://only_tls:pw@127.0.0.1:{one}/postgres"),
        (true, "postgres://only_tls:pw@127.0.0.1:{one}/postgres?sslmode=allow"),
        (true, "PGSSLMODE=require ; postgres://scram:pw@127.0.0.1:{one}/postgres"),
        (true, "postgres://scram:pw@127.0.0.1:{one}/postgres?ssl=true"),
        (false, "postgres://only_tls:pw@127.0.0.1:{one}/postgres?sslmode=disable"),
        (true, "postgres://only_plain@127.0.0.1:{one}/postgres"),
        (true, "postgres://only_plain@127.0.0.1:{one}/postgres?sslmode=allow"),
        (false, "postgres://only_plain@127.0.0.1:{one}/postgres?sslmode=require"),
        (true, "postgres://postgres@127.0.0.1:{one}/postgres?sslmode=allow"),
        (true, "postgres://postgres@127.0.0.1:{one}/postgres?sslmode=prefer&sslrootcert={f}/ca.pem"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?sslmode=require&sslrootcert={f}/ca.pem"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?sslmode=on"),
        (true, "postgres://postgres@127.0.0.1:{one}/postgres?sslmode=require&ssl_min_protocol_version=TLSv1.3"),
        (true, "postgres://postgres@127.0.0.1:{one}/postgres?sslmode=require&ssl_max_protocol_version=TLSv1.2"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2"),
        (true, "postgres://postgres@127.0.0.1:{one}/postgres?sslmode=require&sslsni=0"),
        // A certificate that is its own authority, with a common name alone.
        (true, "host=localhost hostaddr=127.0.0.1 port={one} user=postgres dbname=postgres sslmode=verify-full sslrootcert={f}/own.pem"),
        (true, "host=127.0.0.1 port={one} user=postgres dbname=postgres sslmode=verify-ca sslrootcert={f}/own.pem"),
        (false, "host=127.0.0.1 port={one} user=postgres dbname=postgres sslmode=verify-full sslrootcert={f}/own.pem"),
        (false, "host=localhost hostaddr=127.0.0.1 port={one} user=postgres dbname=postgres sslmode=verify-full sslrootcert={f}/ca.pem"),
        (false, "host=localhost hostaddr=127.0.0.1 port={one} user=postgres dbname=postgres sslmode=verify-full sslrootcert=system"),
        // Channel binding.
        (true, "postgres://scram:pw@127.0.0.1:{one}/postgres?channel_binding=require"),
        (true, "postgres://scram:pw@127.0.0.1:{one}/postgres?channel_binding=disable&sslmode=require"),
        (false, "postgres://scram:pw@127.0.0.1:{one}/postgres?channel_binding=require&sslmode=disable"),
        (false, "PGCHANNELBINDING=require ; postgres://md5:pw@127.0.0.1:{one}/postgres"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?channel_binding=require"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?channel_binding=maybe"),
        // Certificates of clients.
        (true, "host=127.0.0.1 port={one} user=certified dbname=postgres sslcert={f}/client.pem sslkey={f}/client.key"),
        (true, "PGSSLCERT={f}/client.pem ; PGSSLKEY={f}/client.key ; host=127.0.0.1 port={one} user=certified dbname=postgres"),
        (true, "host=127.0.0.1 port={one} user=certified dbname=postgres sslcert={f}/client.pem sslkey={f}/sealed.key sslpassword=open"),
        (false, "host=127.0.0.1 port={one} user=certified dbname=postgres sslmode=require sslcert={f}/client.pem sslkey={f}/sealed.key sslpassword=shut"),
        (false, "host=127.0.0.1 port={one} user=certified dbname=postgres"),
        // Which server.
        (true, "postgres://postgres@127.0.0.1:{one}/postgres?target_session_attrs=primary"),
        (true, "postgres://postgres@127.0.0.1:{one}/postgres?target_session_attrs=prefer-standby"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?target_session_attrs=standby"),
        (false, "PGTARGETSESSIONATTRS=read-only ; postgres://postgres@127.0.0.1:{one}/postgres"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?target_session_attrs=best"),
        // The rest.
        (true, "postgres://postgres@127.0.0.1:{one}/postgres?options=-c%20geqo%3Doff&application_name=x&keepalives=0"),
        (true, "postgres://postgres@127.0.0.1:{one}/postgres?keepalives_idle=1&keepalives_interval=1&keepalives_count=2&tcp_user_timeout=9000"),
        (true, "postgres://postgres@127.0.0.1:{one}/postgres?gssencmode=disable&client_encoding=latin1&connect_timeout=0"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?gssencmode=require"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?options=-c geqo=off"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?options=-c%20no.such.setting"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?connect_timeout=soon"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?nonsense=1"),
        (false, "postgres://postgres@127.0.0.1:{one}/postgres?sslmode"),
        (false, "host=127.0.0.1 port={one} user=postgres db name=postgres"),
        (false, "host='127.0.0.1"),
    ])
    .await;
}

#[tokio::test]
async fn a_certificate_is_taken_or_refused_as_psql_does() {
    let mut world = World::new().await;
    world.serve(&world.two, "old").await;
    restart(&mut world.two);
    let at = "host=localhost hostaddr=127.0.0.1 port={two} user=scram password=pw dbname=postgres";
    // Of X.509 version 1, with a common name alone.
    world
        .hold(&[
            (
                true,
                &format!(
                    "{at} sslmode=verify-full sslrootcert={{f}}/ca.pem channel_binding=require"
                ),
            ),
            (true, &format!("{at} sslmode=require")),
            (
                false,
                &format!("{at} sslmode=verify-full sslrootcert={{f}}/own.pem"),
            ),
        ])
        .await;

    world.serve(&world.two, "new").await;
    restart(&mut world.two);
    world
        .hold(&[
            (
                true,
                &format!("{at} sslmode=verify-full sslrootcert={{f}}/ca.pem"),
            ),
            (
                true,
                &format!("{at} sslmode=verify-full sslrootcert={{f}}/ca.pem sslcrl={{f}}/none.crl"),
            ),
            (
                false,
                &format!(
                    "{at} sslmode=verify-full sslrootcert={{f}}/ca.pem sslcrl={{f}}/revoked.crl"
                ),
            ),
            (
                false,
                &format!(
                    "PGSSLCRL={{f}}/revoked.crl ; {at} sslmode=verify-ca sslrootcert={{f}}/ca.pem"
                ),
            ),
        ])
        .await;
}

#[tokio::test]
async fn the_newer_parameters_are_obeyed_too() {
    let mut world = World::new().await;
    restart(&mut world.one);
    let direct = world.version() >= 17;
    world
        .hold_since(&[
            (16, true, "postgres://scram:pw@127.0.0.1:{one}/postgres?require_auth=scram-sha-256"),
            (16, true, "postgres://scram:pw@127.0.0.1:{one}/postgres?require_auth=!md5,!password"),
            (16, true, "PGREQUIREAUTH=password,scram-sha-256 ; postgres://scram:pw@127.0.0.1:{one}/postgres"),
            (16, false, "PGREQUIREAUTH=md5 ; postgres://scram:pw@127.0.0.1:{one}/postgres"),
            (16, false, "postgres://clear:p%3Aw%2F%3F%23@127.0.0.1:{one}/postgres?require_auth=scram-sha-256"),
            (16, false, "postgres://md5:pw@127.0.0.1:{one}/postgres?require_auth=!md5"),
            (16, false, "postgres://postgres@127.0.0.1:{one}/postgres?require_auth=scram-sha-256"),
            (16, true, "postgres://postgres@127.0.0.1:{one}/postgres?require_auth=none"),
            (16, false, "postgres://postgres@127.0.0.1:{one}/postgres?require_auth=none,!md5"),
            (16, false, "postgres://postgres@127.0.0.1:{one}/postgres?require_auth=none,none"),
            (16, false, "postgres://postgres@127.0.0.1:{one}/postgres?require_auth=face"),
            (16, false, "postgres://postgres@127.0.0.1:{one}/postgres?require_auth=gss"),
            (16, true, "postgres://postgres@127.0.0.1:1,127.0.0.1:{one}/postgres?load_balance_hosts=random"),
            (16, false, "postgres://postgres@127.0.0.1:{one}/postgres?load_balance_hosts=some"),
            (16, true, "host=127.0.0.1 port={one} user=certified dbname=postgres sslcertmode=allow sslcert={f}/client.pem sslkey={f}/client.key"),
            (16, false, "host=127.0.0.1 port={one} user=certified dbname=postgres sslcertmode=disable sslcert={f}/client.pem sslkey={f}/client.key"),
            (17, direct, "postgres://postgres@127.0.0.1:{one}/postgres?sslnegotiation=direct&sslmode=require"),
            (17, direct, "host=localhost hostaddr=127.0.0.1 port={one} user=scram password=pw dbname=postgres sslnegotiation=direct sslmode=verify-full sslrootcert={f}/own.pem channel_binding=require"),
            (17, true, "postgres://postgres@127.0.0.1:{one}/postgres?sslnegotiation=postgres"),
            (17, false, "postgres://postgres@127.0.0.1:{one}/postgres?sslnegotiation=direct"),
            (18, false, "postgres://postgres@127.0.0.1:{one}/postgres?min_protocol_version=4.0"),
        ])
        .await;
}

/// Whose the server of this socket is.
fn server_user(folder: &Path) -> String {
    let uid = fs::metadata(folder).unwrap().uid();
    let name = Command::new("id")
        .args(["-nu", &uid.to_string()])
        .output()
        .unwrap();
    String::from_utf8(name.stdout).unwrap().trim().to_owned()
}
