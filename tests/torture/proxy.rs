//! A proxy between rowhook and Postgres, which cuts rowhook off from its own tables while the stream goes on.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Proxy {
    pub address: SocketAddr,
    cut: watch::Sender<bool>,
}

impl Proxy {
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, port, is_cut.clone()));
            }
        });
        Self { address, cut }
    }

    /// If `cut`, breaks the sessions that write to the tables, and refuses new ones until the next call.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn carry(mut client: TcpStream, port: u16, mut cut: watch::Receiver<bool>) -> Option<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    // The first message names the session. Over loopback it comes in one piece.
    let mut first = vec![0; 4096];
    let length = client.read(&mut first).await.ok()?;
    let first = &first[..length];
    server.write_all(first).await.ok()?;
    let named = |name: &str| {
        first
            .windows(name.len())
            .any(|part| part == name.as_bytes())
    };
    const CUT: [&str; 4] = [
        "rowhook store",
        "rowhook writer",
        "rowhook claims",
        "rowhook history",
    ];
    if CUT.into_iter().any(named) {
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => {}
            _ = cut.wait_for(|cut| *cut) => {}
        }
    } else {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
    Some(())
}
