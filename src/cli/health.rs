//! `rowhook health`: asks a running rowhook whether it is well, for supervisors that can only start a command.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::output;
use crate::config::Config;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most of an answer that is read, in bytes. It is a line of JSON for each database.
const MOST: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only ask whether the process answers, and not whether it is attached or stands by.
    #[arg(long)]
    live: bool,
}

/// Asks at the address of `[server]`, and prints what it says of itself.
///
/// # Errors
/// When it is not well, or does not answer.
pub(super) async fn health(config: &Config, args: &Args) -> Result<()> {
    let server = config.server.as_ref();
    let server = server.context("hooks.toml has no [server], which is who tells of the health")?;
    let mut address = server.listen;
    // One that listens everywhere is asked here.
    if address.ip().is_unspecified() {
        address.set_ip(match address.is_ipv4() {
            true => std::net::Ipv4Addr::LOCALHOST.into(),
            false => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let path = if args.live {
        "/health/live"
    } else {
        "/health/ready"
    };
    let answer = async {
        let mut socket = TcpStream::connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.take(MOST).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, answer).await;
    let answer = answer.with_context(|| format!("{address} does not answer"))?;
    let answer = answer.with_context(|| format!("ask {address}"))?;
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(&answer);
    let Ok(httparse::Status::Complete(length)) = parsed else {
        bail!("{address} answers something else than HTTP");
    };
    let said = String::from_utf8_lossy(answer.get(length..).unwrap_or_default());
    output::text(&format!("{}\n", said.trim()))?;
    let code = response.code.unwrap_or_default();
    ensure!(code == 200, "{path} of {address} answers {code}");
    Ok(())
}
