//! A proxy between a rowhook and a server of NATS, which breaks their connections, or carries nothing for a while.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Carries,
    /// It breaks what there is, and refuses what comes.
    Cut,
    /// It carries nothing, and does not say so.
    Silent,
}

pub struct Link {
    pub address: SocketAddr,
    state: watch::Sender<State>,
}

impl Link {
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, seen) = watch::channel(State::Carries);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, port, seen.clone()));
            }
        });
        Self { address, state }
    }

    /// Breaks it for so long.
    pub async fn break_for(&self, time: Duration, is_cut: bool) {
        let state = if is_cut { State::Cut } else { State::Silent };
        self.state.send_replace(state);
        tokio::time::sleep(time).await;
        self.state.send_replace(State::Carries);
    }
}

async fn carry(client: TcpStream, port: u16, state: watch::Receiver<State>) -> Option<()> {
    if *state.borrow() == State::Cut {
        return None;
    }
    let server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut until_cut = state.clone();
    tokio::select! {
        _ = one_way(from_client, to_server, state.clone()) => {}
        _ = one_way(from_server, to_client, state) => {}
        _ = until_cut.wait_for(|state| *state == State::Cut) => {}
    }
    Some(())
}

async fn one_way(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<State>,
) -> Option<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut bytes).await.ok()?;
        state.wait_for(|state| *state != State::Silent).await.ok()?;
        if read == 0 {
            return None;
        }
        to.write_all(&bytes[..read]).await.ok()?;
    }
}
