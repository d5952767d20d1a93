//! What a sender says to the reader over a link: which deliveries are settled, and what it wants to know. It is said
//! again until the reader has heard it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::Client;
use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval},
};

use super::{
    beat::{Beat, LineBeat},
    cipher::LinkCipher,
    packet::{Head, VERSION},
    word::Word,
};

/// How often a sender says that it is there, where it has nothing else to say.
const HERE: Duration = Duration::from_millis(300);
/// How many deliveries are settled in one packet.
const AT_ONCE: usize = 4096;
/// How many hooks are asked for in one packet.
const HOOKS_AT_ONCE: usize = 256;

/// Speaks over one link.
pub(super) struct Speaker {
    pub(super) client: Client,
    pub(super) subject: String,
    pub(super) partition: u32,
    pub(super) epoch: i64,
    pub(super) link: u64,
    pub(super) cipher: LinkCipher,
    /// The number of the next packet.
    pub(super) next: u64,
    /// What was said and may not have been heard: each packet with its number, and what it settled.
    pub(super) said: VecDeque<(u64, Bytes, Vec<u64>)>,
}

impl Speaker {
    /// Says what is handed over, for as long as it is polled.
    pub(super) async fn speak(
        &mut self,
        settled: &mut mpsc::UnboundedReceiver<u64>,
        wanted: &mut mpsc::UnboundedReceiver<Vec<String>>,
        beats: &mut watch::Receiver<Arc<Beat>>,
    ) {
        let mut ticks = interval(HERE);
        let mut numbers = Vec::new();
        let mut last_heard = None;
        loop {
            tokio::select! {
                _ = settled.recv_many(&mut numbers, AT_ONCE) => {
                    self.say(Word::Settled(std::mem::take(&mut numbers))).await;
                }
                Some(hooks) = wanted.recv() => {
                    for hooks in hooks.chunks(HOOKS_AT_ONCE) {
                        self.say(Word::Want(hooks.to_vec())).await;
                    }
                }
                _ = ticks.tick() => {
                    // What was said shows it too.
                    if self.said.is_empty() {
                        self.say(Word::Here).await;
                    }
                }
                Ok(()) = beats.changed() => {
                    let heard = self.heard(&beats.borrow_and_update());
                    // What was missing at two beats in a row is lost.
                    if heard.is_some() && heard == last_heard {
                        self.say_again().await;
                    }
                    last_heard = heard;
                }
            }
        }
    }

    /// Takes off what the reader has heard. Returns the number of the packet that it waits for.
    fn heard(&mut self, beat: &Beat) -> Option<u64> {
        let ours =
            |line: &&LineBeat| line.partition == self.partition && line.link == Some(self.link);
        let heard = beat.lines.iter().find(ours)?.heard;
        while self
            .said
            .front()
            .is_some_and(|(number, ..)| *number < heard)
        {
            self.said.pop_front();
        }
        Some(heard)
    }

    async fn say(&mut self, word: Word) {
        let head = Head {
            version: VERSION,
            link: self.link,
            epoch: self.epoch,
            number: self.next,
        };
        let packet = head.seal(&self.cipher, word.write());
        let settled = match word {
            Word::Settled(numbers) => numbers,
            Word::Want(_) | Word::Bye | Word::Here => Vec::new(),
        };
        // Before it is sent, so that nothing is forgotten of it if this is dropped.
        self.next += 1;
        self.said.push_back((head.number, packet.clone(), settled));
        // What is not heard is said again.
        let _ = self.client.publish(self.subject.clone(), packet).await;
    }

    async fn say_again(&mut self) {
        for (_, packet, _) in &self.said {
            let _ = self
                .client
                .publish(self.subject.clone(), packet.clone())
                .await;
        }
    }

    /// Says that the partition is given back, and waits until all is heard, until `deadline` at most.
    pub(super) async fn take_leave(
        &mut self,
        settled: &mut mpsc::UnboundedReceiver<u64>,
        beats: &mut watch::Receiver<Arc<Beat>>,
        deadline: Instant,
    ) {
        let mut numbers = Vec::new();
        while let Ok(number) = settled.try_recv() {
            numbers.push(number);
        }
        for numbers in numbers.chunks(AT_ONCE) {
            self.say(Word::Settled(numbers.to_vec())).await;
        }
        self.say(Word::Bye).await;
        let mut last_heard = None;
        loop {
            let heard = self.heard(&beats.borrow_and_update());
            if self.said.is_empty() || heard.is_none() {
                return;
            }
            if heard == last_heard {
                self.say_again().await;
            }
            last_heard = heard;
            match tokio::time::timeout_at(deadline, beats.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// What was settled and may not have been heard.
    pub(super) fn unheard(&self) -> impl Iterator<Item = u64> {
        let said = self.said.iter();
        said.flat_map(|(_, _, settled)| settled.iter().copied())
    }
}
