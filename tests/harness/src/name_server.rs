//! A name server for the names of tests.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::net::UdpSocket;

/// A name server that knows some names, and is silent about all others.
#[derive(Debug)]
#[must_use = "it stops answering when it is dropped"]
pub struct NameServer {
    address: SocketAddr,
    questions: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl NameServer {
    /// Knows these names and their addresses. Each answer may be kept for an hour.
    pub async fn of(names: &[(&str, &[Ipv4Addr])]) -> Self {
        let names = names.iter().map(|(name, addresses)| {
            let labels = name.split('.').flat_map(|label| {
                let length = u8::try_from(label.len()).unwrap();
                [&[length], label.as_bytes()].concat()
            });
            (labels.chain([0]).collect(), addresses.to_vec())
        });
        let names: HashMap<Vec<u8>, Vec<Ipv4Addr>> = names.collect();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let questions = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&questions);
        let server = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(&names, &buffer[..length]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Self {
            address,
            questions,
            server,
        }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many questions it was asked.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The answer to a question for a known name; of IPv6 it has no addresses.
fn answer(names: &HashMap<Vec<u8>, Vec<Ipv4Addr>>, question: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const A: [u8; 2] = [0, 1];
    let end = HEADER + question[HEADER..].iter().position(|byte| *byte == 0)? + 1;
    let addresses = names.get(&question[HEADER..end].to_ascii_lowercase())?;
    let kind = &question[end..end + 2];
    let addresses: &[Ipv4Addr] = if kind == A { addresses } else { &[] };
    let count = u8::try_from(addresses.len()).unwrap();
    // The same id, an answer with recursion, one question, so many answers, and an authority.
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, count, 0, 1, 0, 0]);
    answer.extend(&question[HEADER..end + 4]);
    for address in addresses {
        // The name of the question, A, IN, an hour, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4]);
        answer.extend(address.octets());
    }
    // An SOA of the root says that this may be kept for an hour too, as it does where there is no address.
    answer.extend([0, 0, 6, 0, 1, 0, 0, 0x0e, 0x10, 0, 22, 0, 0]);
    answer.extend([[0, 0, 0x0e, 0x10]; 5].concat());
    Some(answer)
}
