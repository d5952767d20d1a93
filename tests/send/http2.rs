//! Endpoints that speak HTTP/2 and send their visitors away.

use std::sync::Arc;

use harness::{Http2, Manners};
use rowhook::send::{
    Sender,
    answer::{Answer, Failure},
};
use tokio::task::JoinSet;

use crate::endpoint::{code, delivery, send, target};

fn sender(endpoint: &Http2) -> Sender {
    Sender::trusting(&delivery(), vec![endpoint.authority.clone()]).unwrap()
}

#[tokio::test]
async fn what_was_not_looked_at_is_asked_again_at_once_on_another_connection() {
    for rude in [Manners::GoesAway, Manners::Refuses] {
        let endpoint = Http2::start(move |connection| match connection {
            0 | 1 => rude,
            _ => Manners::Answers,
        })
        .await;
        let sender = sender(&endpoint);
        let answer = send(&sender, &target(&endpoint.url)).await;
        assert_eq!(code(&answer), 200, "{rude:?}");
        assert_eq!((endpoint.connections(), endpoint.answered()), (3, 1));
        assert_eq!(code(&send(&sender, &target(&endpoint.url)).await), 200);
        assert_eq!(endpoint.connections(), 3, "the last one is kept");
    }
}

#[tokio::test]
async fn an_endpoint_that_never_looks_at_anything_is_not_asked_without_end() {
    for rude in [Manners::GoesAway, Manners::Refuses] {
        let endpoint = Http2::start(move |_| rude).await;
        let answer = send(&sender(&endpoint), &target(&endpoint.url)).await;
        assert_eq!(answer, Answer::Failed(Failure::Untaken), "{rude:?}");
        assert_eq!(endpoint.connections(), 5);
    }
}

#[tokio::test]
async fn an_endpoint_that_goes_away_now_and_then_costs_nothing() {
    let endpoint = Http2::start(|_| Manners::GoesAwayAfter(3)).await;
    let (sender, target) = (sender(&endpoint), Arc::new(target(&endpoint.url)));
    let mut sent = JoinSet::new();
    for _ in 0..40 {
        let (sender, target) = (sender.clone(), Arc::clone(&target));
        sent.spawn(async move { send(&sender, &target).await });
    }
    for answer in sent.join_all().await {
        assert_eq!(code(&answer), 200);
    }
    for _ in 0..10 {
        assert_eq!(code(&send(&sender, &target).await), 200);
    }
    assert_eq!(endpoint.answered(), 50);
    assert!(endpoint.connections() > 2);
}

#[tokio::test]
async fn headers_of_many_kilobytes_are_taken_and_more_than_that_are_not() {
    for (bytes, taken) in [(20 << 10, true), (200 << 10, true), (2 << 20, false)] {
        let endpoint = Http2::start(move |_| Manners::AnswersWith(bytes)).await;
        let answer = send(&sender(&endpoint), &target(&endpoint.url)).await;
        assert_eq!(
            matches!(answer, Answer::Status { code: 200, .. }),
            taken,
            "{bytes}: {answer}"
        );
    }
}
