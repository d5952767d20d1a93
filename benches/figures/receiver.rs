//! The receivers: one process with one thread and any number of ports, which answers 200 and counts requests.
//!
//! The first half of this file is the process, the second half the handle on it. They talk through pipes, in lines.

use std::{
    convert::Infallible,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use harness::{DEADLINE, certify};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::figure::Samples;

/// How often the process checks whether enough requests have arrived.
const INTERVAL: Duration = Duration::from_millis(1);

/// The files of a folder for TLS.
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// The requests that have arrived.
#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    /// When the first request arrived, in nanoseconds since 1970.
    first: AtomicU64,
    /// When the last request arrived, in nanoseconds since 1970.
    last: AtomicU64,
    /// Microseconds from the commit to the arrival, of requests whose bodies have the time of the commit.
    latencies: Mutex<Vec<u64>>,
}

/// The process: serves on `args[0]` ports, and waits `args[1]` milliseconds before each answer. With a folder as
/// `args[2]`, it speaks TLS, with the certificate there. It ends when its standard input ends.
pub fn serve(args: &[String]) -> Result<()> {
    let (ports, pause, folder) = match args {
        [ports, pause] => (ports, pause, None),
        [ports, pause, folder] => (ports, pause, Some(folder)),
        _ => bail!("receive needs a number of ports, a pause in ms, and perhaps a folder"),
    };
    let tls = folder
        .map(|folder| acceptor(Path::new(folder)))
        .transpose()?;
    let (ports, pause): (usize, u64) = (ports.parse()?, pause.parse()?);
    let pause = Duration::from_millis(pause);
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        for _ in 0..ports {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("{}", listener.local_addr()?.port());
            tokio::spawn(accept(listener, tls.clone(), Arc::clone(&seen), pause));
        }
        println!();
        let (ended, end) = tokio::sync::oneshot::channel();
        thread::spawn(move || {
            let done = answer_questions(&counted);
            // The receiver of this channel lives until it gets this.
            let _ = ended.send(done);
        });
        end.await?
    })
}

/// TLS 1.3 with the certificate of a folder.
fn acceptor(folder: &Path) -> Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_file(folder.join(CERTIFICATE))?;
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, seen: Arc<Seen>, pause: Duration) {
    // An error concerns the whole process, such as too many open files. Nothing can be measured then.
    while let Ok((stream, _)) = listener.accept().await {
        // Without this, answers wait for acknowledgements. The connection works all the same, so an error does not
        // matter.
        let _ = stream.set_nodelay(true);
        let seen = Arc::clone(&seen);
        match tls.clone() {
            None => drop(tokio::spawn(serve_connection(stream, seen, pause))),
            Some(tls) => drop(tokio::spawn(async move {
                // Who does not get that far sends nothing, and that is seen.
                if let Ok(stream) = tls.accept(stream).await {
                    serve_connection(stream, seen, pause).await;
                }
            })),
        }
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: Arc<Seen>,
    pause: Duration,
) {
    let service = service_fn(|request| receive(request, &seen, pause));
    // A client that goes away is no error here.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn receive(
    request: Request<Incoming>,
    seen: &Seen,
    pause: Duration,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let now = SystemTime::now();
    let is_timed = request.uri().path() == "/timed";
    // A body that breaks off does not count.
    if let Ok(body) = request.into_body().collect().await {
        if is_timed && let Some(committed) = commit_time(&body.to_bytes()) {
            let micros = now
                .duration_since(committed)
                .unwrap_or_default()
                .as_micros();
            let mut latencies = seen
                .latencies
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            latencies.push(u64::try_from(micros).unwrap_or(u64::MAX));
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        seen.last.store(nanos(now), Ordering::Relaxed);
        if seen.requests.fetch_add(1, Ordering::Release) == 0 {
            seen.first.store(nanos(now), Ordering::Relaxed);
        }
    }
    Ok(Response::new(Empty::new()))
}

/// The `timestamp` of a body in the payload `standard`: the time of the commit, as Postgres has it.
fn commit_time(body: &[u8]) -> Option<SystemTime> {
    const KEY: &[u8] = b"\"timestamp\":\"";
    let at = body.windows(KEY.len()).position(|part| part == KEY)? + KEY.len();
    let text = body.get(at..)?.split(|byte| *byte == b'"').next()?;
    humantime::parse_rfc3339(std::str::from_utf8(text).ok()?).ok()
}

/// Answers the questions of the handle, each of them one line, until standard input ends.
fn answer_questions(seen: &Seen) -> Result<()> {
    for line in std::io::stdin().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("reset", _) => {
                seen.requests.store(0, Ordering::Release);
                seen.latencies
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clear();
                println!("ok");
            }
            ("until", wanted) => {
                let (wanted, started) = (wanted.parse()?, Instant::now());
                while seen.requests.load(Ordering::Acquire) < wanted && started.elapsed() < DEADLINE
                {
                    thread::sleep(INTERVAL);
                }
                let requests = seen.requests.load(Ordering::Acquire);
                println!("{requests} {}", seen.last.load(Ordering::Relaxed));
            }
            ("first", _) => println!("{}", seen.first.load(Ordering::Relaxed)),
            ("latencies", _) => {
                let latencies = seen
                    .latencies
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let texts: Vec<String> = latencies.iter().map(u64::to_string).collect();
                println!("{}", texts.join(" "));
            }
            (other, _) => bail!("{other:?} is no question"),
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn nanos(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A handle on the process.
pub struct Receivers {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub addresses: Vec<SocketAddr>,
    /// The certificate and its key, where they speak TLS.
    tls: Option<TempDir>,
}

impl Receivers {
    /// Starts receivers on this many ports. They answer at once.
    pub fn open(ports: usize) -> Result<Self> {
        Self::slow(ports, Duration::ZERO)
    }

    /// Starts receivers on this many ports. They wait before each answer.
    pub fn slow(ports: usize, pause: Duration) -> Result<Self> {
        Self::start(ports, pause, None)
    }

    /// Starts receivers on this many ports, which speak TLS and answer at once.
    pub fn over_tls(ports: usize) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        certify(folder.path(), CERTIFICATE, KEY);
        Self::start(ports, Duration::ZERO, Some(folder))
    }

    fn start(ports: usize, pause: Duration, tls: Option<TempDir>) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "receive",
                &ports.to_string(),
                &pause.as_millis().to_string(),
            ])
            .args(tls.iter().map(|folder| folder.path()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the receivers")?;
        let questions = child.stdin.take().context("no stdin")?;
        let mut answers = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut addresses = Vec::new();
        loop {
            let mut line = String::new();
            answers.read_line(&mut line)?;
            match line.trim() {
                "" => break,
                port => addresses.push(SocketAddr::from(([127, 0, 0, 1], port.parse()?))),
            }
        }
        ensure!(addresses.len() == ports, "the receivers did not open");
        Ok(Self {
            child,
            questions,
            answers,
            addresses,
            tls,
        })
    }

    /// The URL of a receiver. Numbers beyond the last port begin again with the first.
    pub fn url(&self, number: usize) -> String {
        let address = self.addresses[number % self.addresses.len()];
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}/")
    }

    /// What a `[[hooks]]` says to trust them.
    pub fn trusted(&self) -> String {
        match &self.tls {
            Some(folder) => format!("ca = {:?}", folder.path().join(CERTIFICATE)),
            None => String::new(),
        }
    }

    /// Starts to count from zero.
    pub fn reset(&mut self) -> Result<()> {
        self.ask("reset").map(drop)
    }

    /// Waits until this many requests have arrived since the last reset. Returns the time of the last one.
    pub fn until(&mut self, requests: u64) -> Result<SystemTime> {
        let answer = self.ask(&format!("until {requests}"))?;
        let (came, last) = answer.split_once(' ').context("half an answer")?;
        let came: u64 = came.parse()?;
        ensure!(came >= requests, "only {came} of {requests} requests came");
        Ok(SystemTime::UNIX_EPOCH + Duration::from_nanos(last.parse()?))
    }

    /// The time of the first request since the last reset.
    pub fn first(&mut self) -> Result<SystemTime> {
        let nanos = self.ask("first")?.parse()?;
        Ok(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos))
    }

    /// The number of requests since the last reset.
    pub fn count(&mut self) -> Result<u64> {
        let answer = self.ask("until 0")?;
        let (came, _) = answer.split_once(' ').context("half an answer")?;
        Ok(came.parse()?)
    }

    /// The times from commit to arrival, in ms, of the requests to /timed.
    pub fn latencies(&mut self) -> Result<Samples> {
        let answer = self.ask("latencies")?;
        let micros = answer.split_whitespace().map(str::parse::<f64>);
        let millis = micros.map(|micros| Ok(micros? / 1000.0));
        millis.collect::<Result<_>>().map(Samples)
    }

    fn ask(&mut self, question: &str) -> Result<String> {
        writeln!(self.questions, "{question}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        // If this fails, the process still ends together with its standard input.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
