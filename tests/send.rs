//! Requests to endpoints of all kinds: what they get, and what we make of what they answer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::to_bytes,
    extract::Request as Received,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rowhook::{
    config::{Config, Delivery},
    hook::{self, Hook},
    secret::Secret,
    send::{
        Request, Sender,
        answer::{Answer, Failure},
        target::Target,
    },
    signature::{SignatureScheme, Signer, SigningKey},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self,
        pki_types::{CertificateDer, pem::PemObject},
    },
};
use url::Url;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn delivery() -> Delivery {
    Delivery {
        allow_http: true,
        allow_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..Delivery::default()
    }
}

fn sender() -> Sender {
    Sender::new(&delivery()).unwrap()
}

fn target(url: &str) -> Target {
    Target::new(&Url::parse(url).unwrap(), Some(&Secret::new(SECRET)), &[]).unwrap()
}

async fn send_within(sender: &Sender, target: &Target, timeout: Duration) -> Answer {
    let request = Request {
        target,
        id: "msg_1",
        batch: None,
        body: Bytes::from_static(b"{\"n\":1}"),
        content_type: "application/json",
        at: SystemTime::now(),
        timeout,
        span: None,
    };
    sender.send(request).await
}

async fn send(sender: &Sender, target: &Target) -> Answer {
    send_within(sender, target, Duration::from_secs(20)).await
}

/// A server that does with each connection what `serve` says, and counts them.
async fn raw<F, S>(serve: S) -> (String, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream, usize) -> F + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, count.fetch_add(1, Ordering::SeqCst)));
        }
    });
    (url, connections)
}

/// Reads one request of ours, which ends with its body.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"{\"n\":1}") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => request.extend_from_slice(&piece[..length]),
        }
    }
    Some(String::from_utf8(request).unwrap())
}

async fn answer_with(stream: &mut TcpStream, answer: &[u8]) {
    read_request(stream).await;
    // An answer that nobody waits for any more is not the server's concern.
    let _ = stream.write_all(answer).await;
}

fn code(answer: &Answer) -> u16 {
    match answer {
        Answer::Status { code, .. } => *code,
        Answer::Failed(failure) => panic!("{failure}"),
    }
}

#[tokio::test]
async fn a_request_has_these_bytes() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let (url, _) = raw(move |mut stream, _| {
        let said = said.clone();
        async move {
            let request = read_request(&mut stream).await.unwrap();
            said.send(request).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let headers = [("x-tenant", &Secret::new("north"))];
    let url = Url::parse(&url.replace("http://", "http://anna:p%40ss@")).unwrap();
    let target = Target::new(&url, Some(&Secret::new(SECRET)), &headers).unwrap();
    let answer = send(&sender(), &target).await;
    assert_eq!(code(&answer), 204);
    let request = heard.recv().await.unwrap();
    let mut lines: Vec<String> = request.lines().map(str::to_owned).collect();
    // What changes from run to run.
    for line in &mut lines {
        for name in ["host: ", "webhook-timestamp: ", "webhook-signature: v1,"] {
            if line.starts_with(name) {
                *line = format!("{name}…");
            }
        }
    }
    let headers = 1..lines.len() - 2;
    lines[headers].sort();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    POST /hook HTTP/1.1
    accept: */*
    authorization: Basic YW5uYTpwQHNz
    content-length: 7
    content-type: application/json
    host: …
    user-agent: rowhook/0.1.0
    webhook-id: msg_1
    webhook-signature: v1,…
    webhook-timestamp: …
    x-tenant: north

    {"n":1}
    "#);
    assert!(!format!("{target:?}{answer:?}{}", target.display()).contains("p@ss"));
    assert!(!format!("{target:?}").contains("north"));
}

/// Serves `app`, and returns where.
async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

#[tokio::test]
async fn the_official_library_verifies_what_is_sent() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |request: Received| {
        let said = said.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, 1000).await.unwrap();
            let verified = standardwebhooks::Webhook::new(SECRET)
                .unwrap()
                .verify(&body, &parts.headers);
            said.send(verified.is_ok()).unwrap();
        }
    });
    let url = serve(app).await;
    assert_eq!(code(&send(&sender(), &target(&url)).await), 200);
    assert_eq!(heard.recv().await, Some(true));
}

/// What a request signed so says in `header`. Its body is `{"n":1}`.
async fn signature_of(scheme: &str, header: &str, secrets: [&str; 2]) -> HeaderMap {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |request: Received| {
        let said = said.clone();
        async move { said.send(request.headers().clone()).unwrap() }
    });
    let url = serve(app).await;
    let [secret, previous] = secrets.map(Secret::new);
    let scheme = SignatureScheme::parse(scheme).unwrap();
    let signer = Signer::new(&scheme, &secret, Some((&previous, None))).unwrap();
    let target = Target::new(&Url::parse(&url).unwrap(), None, &[]).unwrap();
    let target = target.signed_by(Some(signer)).unwrap();
    assert_eq!(code(&send(&sender(), &target).await), 200);
    let headers = heard.recv().await.unwrap();
    assert!(headers.contains_key(header), "{headers:?}");
    headers
}

#[tokio::test]
async fn while_a_secret_is_replaced_the_official_library_verifies_with_either() {
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let headers = signature_of("standard", "webhook-signature", [NEW, SECRET]).await;
    for secret in [NEW, SECRET] {
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        webhook.verify(b"{\"n\":1}", &headers).unwrap();
    }
    let signatures = headers["webhook-signature"].to_str().unwrap();
    let newest = signatures.split(' ').next().unwrap();
    let mut alone = headers.clone();
    alone.insert("webhook-signature", newest.parse().unwrap());
    let webhook = standardwebhooks::Webhook::new(NEW).unwrap();
    webhook.verify(b"{\"n\":1}", &alone).unwrap();
}

#[tokio::test]
async fn an_ed25519_signature_is_verified_with_the_public_key_that_is_printed() {
    const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";
    let headers = signature_of("standard", "webhook-signature", [PRIVATE, SECRET]).await;
    let public = SigningKey::parse(&Secret::new(PRIVATE)).unwrap();
    let public = public.public_key().unwrap();
    let decode = |text: &str| BASE64_STANDARD.decode(text).unwrap();
    let public = decode(public.strip_prefix("whpk_").unwrap());
    let public = ed25519_dalek::VerifyingKey::from_bytes(&public.try_into().unwrap()).unwrap();
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let signatures = text("webhook-signature");
    let signature = signatures.split(' ').find_map(|s| s.strip_prefix("v1a,"));
    let signature = ed25519_dalek::Signature::from_slice(&decode(signature.unwrap())).unwrap();
    let signed = format!(
        "{}.{}.{{\"n\":1}}",
        text("webhook-id"),
        text("webhook-timestamp")
    );
    public.verify_strict(signed.as_bytes(), &signature).unwrap();
}

/// GitHub's receivers, NetBox's (`X-Hook-Signature`) and those of servo-webhooks compute it so; here openssl does.
#[tokio::test]
async fn signatures_for_receivers_that_exist_are_what_openssl_computes() {
    for (scheme, header, algorithm, prefix) in [
        (
            r#"{"header": "X-Hub-Signature-256", "prefix": "sha256="}"#,
            "x-hub-signature-256",
            "-sha256",
            "sha256=",
        ),
        (
            r#"{"header": "X-Hook-Signature", "algorithm": "sha512"}"#,
            "x-hook-signature",
            "-sha512",
            "",
        ),
        (
            r#"{"header": "X-Servo-Signature", "algorithm": "sha1"}"#,
            "x-servo-signature",
            "-sha1",
            "",
        ),
    ] {
        let headers = signature_of(scheme, header, ["It's a secret", "an older one"]).await;
        let mut openssl = Command::new("openssl")
            .args(["dgst", algorithm, "-hmac", "It's a secret", "-r"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = openssl.stdin.take().unwrap();
        input.write_all(b"{\"n\":1}").unwrap();
        drop(input);
        let said = openssl.wait_with_output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let code = said.split(' ').next().unwrap();
        assert_eq!(headers[header], format!("{prefix}{code}"));
        assert!(!headers.contains_key("webhook-signature"));
    }
}

#[test]
fn a_header_of_the_hook_cannot_stand_where_the_signature_will() {
    let scheme = SignatureScheme::parse(r#"{"header": "X-Signature"}"#).unwrap();
    let signer = Signer::new(&scheme, &Secret::new("key"), None).unwrap();
    let url = Url::parse("https://example.com/").unwrap();
    let target = Target::new(&url, None, &[("x-signature", &Secret::new("forged"))]).unwrap();
    let refused = target.signed_by(Some(signer)).unwrap_err().to_string();
    assert!(refused.starts_with("the header x-signature is that of the signature"));
}

#[tokio::test]
async fn an_endpoint_that_never_answers_or_only_trickles_is_timed_out() {
    let limit = Duration::from_millis(300);
    let (silent, _) = raw(|mut stream, _| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (trickling, _) = raw(|mut stream, _| async move {
        answer_with(
            &mut stream,
            b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n",
        )
        .await;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    })
    .await;
    for url in [silent, trickling] {
        let answer = send_within(&sender(), &target(&url), limit).await;
        assert_eq!(answer, Answer::Failed(Failure::TimedOut(limit)));
        assert_eq!(answer.to_string(), "timed out after 300ms");
    }
}

#[tokio::test]
async fn of_an_endless_answer_four_kilobytes_are_read() {
    let (url, _) = raw(|mut stream, _| async move {
        answer_with(&mut stream, b"HTTP/1.1 500 Oh\r\n\r\n").await;
        while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
    })
    .await;
    let Answer::Status {
        code: 500, body, ..
    } = send(&sender(), &target(&url)).await
    else {
        panic!("the status was said");
    };
    assert_eq!(body.len(), 4096);
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_as_it_is_used_costs_no_attempt() {
    // The first connection answers once, and closes at the second request without a word.
    let (url, connections) = raw(|mut stream, connection| async move {
        answer_with(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        if connection == 0 {
            read_request(&mut stream).await;
        } else {
            answer_with(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let (sender, target) = (sender(), target(&url));
    assert_eq!(code(&send(&sender, &target).await), 200);
    assert_eq!(code(&send(&sender, &target).await), 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_is_not_an_answer_is_a_failure_in_few_words() {
    let (garbage, _) = raw(|mut stream, _| async move {
        answer_with(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n").await
    })
    .await;
    let (closing, _) = raw(|mut stream, _| async move {
        read_request(&mut stream).await;
    })
    .await;
    let (headers, _) = raw(|mut stream, _| async move {
        let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(2 << 20));
        answer_with(&mut stream, huge.as_bytes()).await;
    })
    .await;
    assert!(matches!(
        send(&sender(), &target(&garbage)).await,
        Answer::Failed(Failure::Protocol(_))
    ));
    assert_eq!(
        send(&sender(), &target(&closing)).await,
        Answer::Failed(Failure::Closed)
    );
    assert!(matches!(
        send(&sender(), &target(&headers)).await,
        Answer::Failed(_)
    ));
    // A port that nobody listens on any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://anna:secret@{}/", listener.local_addr().unwrap());
    drop(listener);
    let answer = send(&sender(), &target(&url)).await;
    assert!(
        matches!(answer, Answer::Failed(Failure::Connect(_))),
        "{answer}"
    );
    assert!(
        !answer.to_string().contains("http") && !answer.to_string().contains("secret"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_answer_that_lies_about_its_length_is_its_status() {
    let (url, _) = raw(|mut stream, _| async move {
        answer_with(
            &mut stream,
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nshort",
        )
        .await;
    })
    .await;
    let Answer::Status {
        code: 200, body, ..
    } = send(&sender(), &target(&url)).await
    else {
        panic!("the status was said");
    };
    assert_eq!(body, "short");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, visits) = raw(|_, _| async {}).await;
    let app = Router::new().fallback(move || {
        let elsewhere = elsewhere.clone();
        async move { (StatusCode::TEMPORARY_REDIRECT, [("location", elsewhere)]).into_response() }
    });
    let url = serve(app).await;
    assert_eq!(code(&send(&sender(), &target(&url)).await), 307);
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_is_judged_by_the_address_it_leads_to() {
    let (url, visits) = raw(|mut stream, _| async move {
        answer_with(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
    })
    .await;
    let by_name = url.replace("127.0.0.1", "localhost");
    let guarded = Sender::new(&Delivery {
        allow_http: true,
        ..Delivery::default()
    })
    .unwrap();
    for url in [&by_name, &url] {
        let answer = send(&guarded, &target(url)).await;
        let Answer::Failed(Failure::Refused(reason)) = &answer else {
            panic!("{answer}")
        };
        assert!(
            reason.contains("is not public (loopback); delivery.allow_networks"),
            "{reason}"
        );
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
    assert_eq!(code(&send(&sender(), &target(&by_name)).await), 200);
    let answer = send(&sender(), &target("http://no-such-host.invalid/")).await;
    assert!(
        matches!(answer, Answer::Failed(Failure::Resolve(_))),
        "{answer}"
    );
}

/// Makes `name.pem`, a certificate that is its own authority, and `name.key`.
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

/// A receiver with the certificate of `server`, which demands that of `client`. It says of each request its version of HTTP.
async fn receive_over_tls(
    folder: &Path,
    client: Option<&str>,
) -> (String, mpsc::UnboundedReceiver<String>) {
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
    let mut config = config
        .with_single_cert(vec![certificate("server")], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (said, heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |request: Received| {
        let said = said.clone();
        async move { said.send(format!("{:?}", request.version())).unwrap() }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, app) = (acceptor.clone(), app.clone());
            tokio::spawn(async move {
                // A client that does not trust us, or that we do not trust, ends the handshake.
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
    (url, heard)
}

#[tokio::test]
async fn over_tls_http_2_is_spoken_and_a_stranger_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "server");
    let (url, mut heard) = receive_over_tls(folder.path(), None).await;
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

/// The hooks of a hooks.toml in `folder`, with these keys each.
fn hooks_with(folder: &Path, url: &str, keys: &[&str]) -> Result<Vec<Hook>, String> {
    let mut text = "[database]\nurl = \"host=localhost\"\n[events]\na = \"b.created\"\n[delivery]\nallow_http = true\n"
        .to_owned();
    for (number, keys) in keys.iter().enumerate() {
        text += &format!(
            "[[hooks]]\nname = \"h{number}\"\nevents = [\"*\"]\ntarget = \"{url}\"\n{keys}\n"
        );
    }
    let path = folder.join("hooks.toml");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path, &|_| None).map_err(|mistakes| {
        let folder = format!("{}/", folder.display());
        mistakes.to_string().replace(&folder, "")
    })?;
    Ok(config.hooks.iter().map(hook::from_file).collect())
}

#[tokio::test]
async fn a_receiver_that_demands_a_certificate_gets_that_of_the_hook() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["server", "client", "stranger"] {
        certify(folder.path(), name);
    }
    let (url, mut heard) = receive_over_tls(folder.path(), Some("client")).await;
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

#[tokio::test]
async fn a_hook_has_the_method_and_the_credentials_that_it_says() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |request: Received| {
        let said = said.clone();
        async move {
            let credentials = request.headers().get("authorization");
            let credentials = credentials.map_or("", |value| value.to_str().unwrap());
            said.send(format!("{} {credentials}", request.method()))
                .unwrap();
        }
    });
    let url = serve(app).await;
    let folder = tempfile::tempdir().unwrap();
    let hooks = hooks_with(
        folder.path(),
        &url,
        &[
            "",
            "method = \"PUT\"\nauth = { user = \"anna\", password = \"p@ss\" }",
            "method = \"PATCH\"\nauth = { bearer = \"to.ken\" }",
        ],
    );
    let hooks = hooks.unwrap();
    let expected = ["POST ", "PUT Basic YW5uYTpwQHNz", "PATCH Bearer to.ken"];
    for (hook, expected) in hooks.iter().zip(expected) {
        assert_eq!(code(&send(&sender(), &hook.target).await), 200);
        assert_eq!(heard.recv().await.as_deref(), Some(expected));
    }
    let shown = format!("{hooks:?}");
    assert!(!shown.contains("p@ss") && !shown.contains("to.ken"));
}

#[tokio::test]
async fn a_header_that_a_hook_sets_itself_stands_alone() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |request: Received| {
        let said = said.clone();
        async move {
            let accepts = request.headers().get_all("accept").iter();
            let accepts = accepts.map(|value| value.to_str().unwrap().to_owned());
            said.send(accepts.collect::<Vec<_>>()).unwrap();
        }
    });
    let url = serve(app).await;
    let folder = tempfile::tempdir().unwrap();
    let keys = ["", "headers = { Accept = \"text/plain\" }"];
    let hooks = hooks_with(folder.path(), &url, &keys).unwrap();
    for (hook, expected) in hooks.iter().zip(["*/*", "text/plain"]) {
        assert_eq!(code(&send(&sender(), &hook.target).await), 200);
        assert_eq!(heard.recv().await.unwrap(), [expected]);
    }
}

#[test]
fn headers_that_are_rowhooks_or_https_own_are_refused() {
    let url = Url::parse("https://example.com/").unwrap();
    for (name, value, told) in [
        (
            "Host",
            "x",
            "the header host is set by rowhook; choose another name",
        ),
        (
            "webhook-id",
            "x",
            "the header webhook-id is set by rowhook; choose another name",
        ),
        (
            "Transfer-Encoding",
            "chunked",
            "the header transfer-encoding is set by rowhook; choose another name",
        ),
        ("a b", "x", "\"a b\" is not the name of a header"),
        (
            "x-a",
            "1\r\nx-b: 2",
            "the value of the header x-a has a line break or another character that cannot be sent",
        ),
    ] {
        let refused = Target::new(&url, None, &[(name, &Secret::new(value))]).unwrap_err();
        assert_eq!(refused.to_string(), told);
    }
}
