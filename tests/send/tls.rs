//! TLS, with certificates of servers and of clients.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::Request as Received,
    http::{HeaderMap, HeaderValue, Version},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rowhook::{
    config::Config,
    send::{
        Sender,
        answer::{Answer, Failure},
    },
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::{
    TlsAcceptor, rustls,
    rustls::pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    configuration::hooks_with,
    endpoint::{code, delivery, send, sender, target},
};

/// The protocols of a receiver that speaks both versions.
const BOTH: fn(usize) -> &'static [&'static str] = |_| &["h2", "http/1.1"];

/// Makes `name.pem`, a self-signed certificate, and `name.key`.
fn certify(folder: &Path, name: &str) {
    let openssl = Command::new("openssl")
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
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .args(["-keyout", &format!("{name}.key")])
        .args(["-out", &format!("{name}.pem")])
        .current_dir(folder)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&openssl.stderr);
    assert!(openssl.status.success(), "{told}");
}

/// Starts a receiver with the certificate of `server`, which demands that of `client` if there is one, and speaks these
/// protocols on a connection of this number. Returns its URL, the HTTP version of each request, and the count of
/// connections.
async fn receive_over_tls(
    folder: &Path,
    client: Option<&str>,
    protocols: fn(usize) -> &'static [&'static str],
) -> (String, mpsc::UnboundedReceiver<String>, Arc<AtomicUsize>) {
    use rustls::{
        RootCertStore, ServerConfig, pki_types::PrivateKeyDer, server::WebPkiClientVerifier,
    };
    let certificate = |name: &str| {
        let pem = std::fs::read(folder.join(format!("{name}.pem"))).unwrap();
        CertificateDer::from_pem_slice(&pem).unwrap()
    };
    let key = std::fs::read(folder.join("server.key")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate(client)).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let config = config
        .with_single_cert(vec![certificate("server")], key)
        .unwrap();
    let (said, heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |request: Received| {
        let said = said.clone();
        // A request to /last is the last of its connection.
        let mut headers = HeaderMap::new();
        if request.uri().path() == "/last" && request.version() == Version::HTTP_11 {
            headers.insert("connection", HeaderValue::from_static("close"));
        }
        async move {
            said.send(format!("{:?}", request.version())).unwrap();
            headers
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let spoken = protocols(count.fetch_add(1, Ordering::SeqCst)).iter();
            let (mut config, app) = (config.clone(), app.clone());
            config.alpn_protocols = spoken.map(|name| name.as_bytes().to_vec()).collect();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            tokio::spawn(async move {
                // The handshake fails where one side does not trust the other.
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = TowerToHyperService::new(app);
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (url, heard, connections)
}

#[tokio::test]
async fn over_tls_http_2_is_spoken_and_a_stranger_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "server");
    let (url, mut heard, _) = receive_over_tls(folder.path(), None, BOTH).await;
    let answer = send(&sender(), &target(&url)).await;
    assert!(
        matches!(answer, Answer::Failed(Failure::Tls(_))),
        "{answer}"
    );
    let authority = std::fs::read(folder.path().join("server.pem")).unwrap();
    let authority = CertificateDer::from_pem_slice(&authority).unwrap();
    let trusting = Sender::trusting(&delivery(), vec![authority]).unwrap();
    assert_eq!(code(&send(&trusting, &target(&url)).await), 200);
    assert_eq!(heard.recv().await.as_deref(), Some("HTTP/2.0"));
}

#[tokio::test]
async fn a_receiver_that_demands_a_certificate_gets_that_of_the_hook() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["server", "client", "stranger"] {
        certify(folder.path(), name);
    }
    let (url, mut heard, _) = receive_over_tls(folder.path(), Some("client"), BOTH).await;
    let hooks = hooks_with(
        folder.path(),
        &url,
        &[
            "client_certificate = \"client.pem\"\nclient_key = \"client.key\"\nca = \"server.pem\"",
            "client_certificate = \"stranger.pem\"\nclient_key = \"stranger.key\"\nca = \"server.pem\"",
            "ca = \"server.pem\"",
            "client_certificate = \"client.pem\"\nclient_key = \"client.key\"",
            "client_certificate = \"client.pem\"\nclient_key = \"client.key\"\nca = \"stranger.pem\"",
        ],
    );
    let hooks = hooks.unwrap();
    let sender = sender();
    for _ in 0..2 {
        assert_eq!(code(&send(&sender, &hooks[0].target).await), 200);
        assert_eq!(heard.recv().await.as_deref(), Some("HTTP/2.0"));
    }
    for hook in &hooks[1..] {
        let answer = send(&sender, &hook.target).await;
        assert!(
            matches!(answer, Answer::Failed(Failure::Tls(_))),
            "{}: {answer}",
            hook.id
        );
    }
    assert!(heard.try_recv().is_err());
    assert!(format!("{hooks:?}").contains("Tls(…)"));
}

#[tokio::test]
async fn where_http_1_is_spoken_over_tls_connections_are_kept_and_present_the_certificate_of_the_hook()
 {
    let folder = tempfile::tempdir().unwrap();
    for name in ["server", "client", "stranger"] {
        certify(folder.path(), name);
    }
    let receiver = receive_over_tls(folder.path(), Some("client"), |_| &["http/1.1"]).await;
    let (url, mut heard, connections) = receiver;
    let keys = ["client", "stranger"].map(|name| {
        format!(
            "client_certificate = \"{name}.pem\"\nclient_key = \"{name}.key\"\nca = \"server.pem\""
        )
    });
    let hooks = hooks_with(folder.path(), &url, &keys.each_ref().map(String::as_str)).unwrap();
    let sender = sender();
    for _ in 0..5 {
        assert_eq!(code(&send(&sender, &hooks[0].target).await), 200);
        assert_eq!(heard.recv().await.as_deref(), Some("HTTP/1.1"));
    }
    // The first one found out what is spoken there.
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    for _ in 0..2 {
        let answer = send(&sender, &hooks[1].target).await;
        assert!(
            matches!(answer, Answer::Failed(Failure::Tls(_))),
            "{answer}"
        );
    }
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn a_server_of_http_2_alone_in_place_of_one_of_http_1_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "server");
    let receiver = receive_over_tls(folder.path(), None, |number| match number {
        0 | 1 => &["http/1.1"],
        _ => &["h2"],
    });
    let (url, mut heard, _) = receiver.await;
    let authority = std::fs::read(folder.path().join("server.pem")).unwrap();
    let authority = CertificateDer::from_pem_slice(&authority).unwrap();
    let (sender, target) = (
        Sender::trusting(&delivery(), vec![authority]).unwrap(),
        target(&format!("{url}last")),
    );
    for _ in 0..2 {
        assert_eq!(code(&send(&sender, &target).await), 200);
        assert_eq!(heard.recv().await.as_deref(), Some("HTTP/1.1"));
    }
    // Neither connection is kept, and the next one is with the server that came.
    let refused = send(&sender, &target).await;
    assert!(
        matches!(refused, Answer::Failed(Failure::Tls(_))),
        "{refused}"
    );
    assert_eq!(code(&send(&sender, &target).await), 200);
    assert_eq!(heard.recv().await.as_deref(), Some("HTTP/2.0"));
}

#[test]
fn certificates_with_names_are_told_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "client");
    let partner = "name = \"partner\"\ncertificate = \"client.pem\"\nkey = \"client.key\"";
    let parse = |text: &str| {
        let text = format!("database.url = \"host=h\"\nevents.a = \"b.created\"\n{text}");
        let path = folder.path().join("hooks.toml");
        let config = Config::parse(&path, &text, &|_| None);
        config.map_err(|mistakes| {
            mistakes
                .to_string()
                .replace(path.to_str().unwrap(), "hooks.toml")
        })
    };
    for (text, told) in [
        (
            "[[certificates]]\nname = \"partner\"".to_owned(),
            "hooks.toml:3:1: certificates.certificate is missing; write certificate = \"partner.pem\"\n\
             hooks.toml:3:1: certificates.key is missing; write key = \"partner.key\"",
        ),
        (
            format!("[[certificates]]\n{partner}\n[[certificates]]\n{partner}"),
            "hooks.toml:8:8: \"partner\" names another certificate already; give each its own name",
        ),
        (
            format!("[certificates]\n{partner}"),
            "hooks.toml:3:2: certificates is a table; write [[certificates]], in double brackets, above each",
        ),
        (
            format!(
                "[[certificates]]\n{}",
                partner.replace("client.key", "client.pem")
            ),
            "hooks.toml:6:7: certificates.key cannot be used: it holds no private key: there is none in it; name another PEM file",
        ),
        (
            format!("[[certificates]]\n{partner}\nowners = 7"),
            "hooks.toml:7:10: certificates.owners is an integer; write a list of owners such as [\"42\"], or [\"*\"] for all",
        ),
    ] {
        assert_eq!(parse(&text).unwrap_err(), told);
    }
    let owners = |owners: &str| {
        let config = parse(&format!("[[certificates]]\n{partner}\n{owners}")).unwrap();
        let certificate = config.certificates[0].clone();
        [None, Some("7"), Some("8")].map(|owner| certificate.is_for(owner))
    };
    assert_eq!(owners(""), [true, false, false]);
    assert_eq!(owners("owners = [\"7\"]"), [true, true, false]);
    assert_eq!(owners("owners = \"*\""), [true, true, true]);
}

#[test]
fn files_that_are_no_certificates_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["client", "other"] {
        certify(folder.path(), name);
    }
    std::fs::write(folder.path().join("empty.pem"), "nothing").unwrap();
    for (keys, told) in [
        (
            "client_certificate = \"client.pem\"",
            "hooks.toml:11:22: hooks.client_certificate stands without client_key; name both",
        ),
        (
            "client_key = \"client.key\"",
            "hooks.toml:11:14: hooks.client_key stands without client_certificate; name both",
        ),
        (
            "ca = \"none.pem\"",
            "hooks.toml:11:6: hooks.ca cannot be read from \"none.pem\": No such file or directory (os error 2); name a file from the folder of this one",
        ),
        (
            "ca = \"empty.pem\"",
            "hooks.toml:11:6: hooks.ca cannot be used: it holds no certificate of an authority: there is none in it; name another PEM file",
        ),
        (
            "client_certificate = \"empty.pem\"\nclient_key = \"client.key\"",
            "hooks.toml:11:22: hooks.client_certificate cannot be used: it holds no certificate: there is none in it; name another PEM file",
        ),
        (
            "client_certificate = \"client.pem\"\nclient_key = \"client.pem\"",
            "hooks.toml:12:14: hooks.client_key cannot be used: it holds no private key: there is none in it; name another PEM file",
        ),
        (
            "client_certificate = \"client.pem\"\nclient_key = \"other.key\"",
            "hooks.toml:12:14: hooks.client_key cannot be used: it is not the key of the certificate; name another PEM file",
        ),
    ] {
        let refused = hooks_with(folder.path(), "https://a.b", &[keys]).unwrap_err();
        assert_eq!(refused, told);
    }
}
