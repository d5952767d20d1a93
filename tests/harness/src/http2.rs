//! An endpoint that speaks HTTP/2 over TLS, and may send its visitors away or fall silent.

use std::{
    path::Path,
    pin::pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};

/// What the endpoint does on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// It answers.
    Answers,
    /// It answers with a header of this many bytes.
    AnswersWith(usize),
    /// It answers its first request, and only pings after that.
    AnswersOnce,
    /// It ends the connection in order (GOAWAY, NO_ERROR) without having looked at a request.
    GoesAway,
    /// It ends the connection in order once it has answered this many requests, and those that it has begun.
    GoesAwayAfter(usize),
    /// It refuses each stream (REFUSED_STREAM).
    Refuses,
}

/// An endpoint that speaks HTTP/2 over TLS.
#[derive(Debug)]
#[must_use = "it stops listening when it is dropped"]
pub struct Http2 {
    /// Where it listens.
    pub url: String,
    /// The certificate that it is trusted by.
    pub authority: CertificateDer<'static>,
    folder: TempDir,
    /// How many of the first connections are silent.
    silent: watch::Sender<usize>,
    connections: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl Http2 {
    /// Listens, and answers 200. `manners` says what becomes of each connection, counted from 0.
    pub async fn start(manners: impl Fn(usize) -> Manners + Send + 'static) -> Self {
        Self::serving(Router::new().fallback(async || ""), manners).await
    }

    /// Listens, and answers as `app` does. `manners` says what becomes of each connection, counted from 0.
    pub async fn serving(app: Router, manners: impl Fn(usize) -> Manners + Send + 'static) -> Self {
        Self::demanding(None, app, manners).await
    }

    /// As [`serving`](Self::serving), and demands the certificate in this PEM file of its clients, if there is one.
    pub async fn demanding(
        client: Option<&Path>,
        app: Router,
        manners: impl Fn(usize) -> Manners + Send + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (acceptor, authority) = acceptor(&folder, client);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let (connections, answered) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let silent = watch::Sender::new(0);
        let (count, answers) = (Arc::clone(&connections), Arc::clone(&answered));
        let falls = silent.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let manners = manners(number);
                let (near, far) = duplex(64 << 10);
                tokio::spawn(relay(stream, near, number, falls.subscribe()));
                let (acceptor, app, answers) =
                    (acceptor.clone(), app.clone(), Arc::clone(&answers));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(far).await {
                        serve(stream, manners, app, answers).await;
                    }
                });
            }
        });
        Self {
            url,
            authority,
            folder,
            silent,
            connections,
            answered,
            server,
        }
    }

    /// The file with the certificate that it is trusted by.
    pub fn authority_file(&self) -> String {
        let file = self.folder.path().join("certificate.pem");
        file.to_str().unwrap().to_owned()
    }

    /// Lets the connections that there are fall silent, while their TCP lives on.
    pub fn fall_silent(&self) {
        self.silent.send_replace(self.connections());
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests were answered.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Makes a certificate for 127.0.0.1, signed by itself, and its key: these two files in a folder.
pub fn certify(folder: &Path, certificate: &str, key: &str) {
    let openssl = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
                   -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let made = Command::new("openssl")
        .args(openssl.split_whitespace())
        .args(["-keyout", key, "-out", certificate])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success());
}

fn acceptor(folder: &TempDir, client: Option<&Path>) -> (TlsAcceptor, CertificateDer<'static>) {
    certify(folder.path(), "certificate.pem", "key.pem");
    let read = |file: &Path| std::fs::read(file).unwrap();
    let certificate = |file: &Path| CertificateDer::from_pem_slice(&read(file)).unwrap();
    let authority = certificate(&folder.path().join("certificate.pem"));
    let key = PrivateKeyDer::from_pem_slice(&read(&folder.path().join("key.pem"))).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(certificate(client)).unwrap();
            let roots = Arc::new(roots);
            let demand =
                rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider);
            config.with_client_cert_verifier(demand.build().unwrap())
        }
    };
    let mut config = config
        .with_single_cert(vec![authority.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), authority)
}

/// Carries a connection until it falls silent. From then on what comes is taken, and nothing is said.
async fn relay(
    mut stream: TcpStream,
    mut near: DuplexStream,
    number: usize,
    mut falls: watch::Receiver<usize>,
) {
    let is_silenced = tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut near) => false,
        silenced = falls.wait_for(|silent| *silent > number) => silenced.is_ok(),
    };
    let mut taken = [0; 4096];
    while is_silenced && stream.read(&mut taken).await.is_ok_and(|length| length > 0) {}
}

async fn serve(
    stream: TlsStream<DuplexStream>,
    manners: Manners,
    app: Router,
    answers: Arc<AtomicUsize>,
) {
    match manners {
        Manners::GoesAway => go_away(stream).await,
        Manners::Refuses => refuse(stream).await,
        _ => answer(stream, manners, app, answers).await,
    }
}

async fn answer(
    stream: TlsStream<DuplexStream>,
    manners: Manners,
    app: Router,
    answers: Arc<AtomicUsize>,
) {
    let (begun, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let is_enough = Arc::clone(&enough);
    let app = app.layer(from_fn(move |request: Request, next: Next| {
        let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
        let (answers, is_enough) = (Arc::clone(&answers), Arc::clone(&is_enough));
        async move {
            if manners == Manners::AnswersOnce && number > 1 {
                std::future::pending::<()>().await;
            }
            let mut response = next.run(request).await;
            if let Manners::AnswersWith(bytes) = manners {
                let value = "x".repeat(bytes).parse().unwrap();
                response.headers_mut().insert("x-long", value);
            }
            answers.fetch_add(1, Ordering::SeqCst);
            if manners == Manners::GoesAwayAfter(number) {
                is_enough.notify_one();
            }
            response
        }
    }));
    let server = auto::Builder::new(TokioExecutor::new()).http2_only();
    let service = TowerToHyperService::new(app);
    let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = serving.as_mut() => return,
        () = enough.notified() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

async fn refuse(stream: TlsStream<DuplexStream>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        respond.send_reset(h2::Reason::REFUSED_STREAM);
    }
}

/// Reads up to the headers of the first request, says that nothing was looked at, and waits for the client to leave.
async fn go_away(mut stream: TlsStream<DuplexStream>) {
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    /// SETTINGS, their acknowledgement, and GOAWAY: no stream was looked at, and there is no error.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ACKNOWLEDGED: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if stream.read_exact(&mut [0; PREFACE]).await.is_err() {
        return;
    }
    let _ = stream.write_all(&[SETTINGS, ACKNOWLEDGED].concat()).await;
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        if head[3] == HEADERS {
            break;
        }
    }
    let _ = stream.write_all(&GOAWAY).await;
    let _ = stream.flush().await;
    while stream
        .read(&mut [0; 1024])
        .await
        .is_ok_and(|length| length > 0)
    {}
}
