//! The queue is durable: it survives kill -9 and failures, and keeps its limits.

use harness::{Receiver, SECRET};
use std::collections::HashMap;

use crate::receiving::{
    NOTE, NOTE_BUT_FAIL_FIRST, Place, SIGNED, assert_in_order, book, send_three_books, task,
};

#[tokio::test]
async fn what_was_accepted_runs_after_a_kill_and_nothing_that_was_recorded_runs_again() {
    // Each attempt takes a moment, so that kills fall into every part of it.
    let script = r#"echo "begun $ROWHOOK_ID" >>ran; sleep 0.05; echo "ended $ROWHOOK_ID" >>ran"#;
    let place = Place::with_task(script, "concurrency = 4").await;
    let mut accepted = Vec::new();
    // The jobs that were on record as done when a receiver was killed, and how often each had begun by then.
    let mut recorded: HashMap<String, usize> = HashMap::new();
    let begun = |place: &Place, id: &str| {
        let line = format!("begun {id}");
        place.ran().iter().filter(|ran| **ran == line).count()
    };
    for round in 0..8 {
        let mut receiver = place.receive().await;
        for number in 0..12 {
            let id = format!("msg_{round}_{number}");
            assert_eq!(place.send(&id, &book("added", number)).await, 202);
            accepted.push(id);
        }
        receiver.until_log(" done ").await;
        let log = receiver.kill_and_log();
        for id in done(&log) {
            recorded.insert(id.clone(), begun(&place, &id));
        }
    }
    assert!(
        !recorded.is_empty() && recorded.len() < accepted.len(),
        "{}",
        recorded.len()
    );
    let _receiver = place.receive().await;
    place
        .until_ran("all that was accepted has ended", |ran| {
            accepted
                .iter()
                .all(|id| ran.contains(&format!("ended {id}")))
        })
        .await;
    for (id, before) in recorded {
        assert_eq!(
            begun(&place, &id),
            before,
            "{id} ran again after its success was recorded"
        );
    }
}

/// The ids that are done according to the log.
pub fn done(log: &str) -> Vec<String> {
    let of_line = |line: &str| Some(line.split_once("id=\"")?.1.split_once('"')?.0.to_owned());
    log.lines()
        .filter(|line| line.contains(" done "))
        .filter_map(of_line)
        .collect()
}

#[tokio::test]
async fn a_program_does_not_outlive_a_receiver_that_is_killed() {
    let script = "echo $$ >>ran; until [ -e go ]; do sleep 0.05; done; echo ended >>ran";
    let place = Place::with_task(script, "").await;
    let receiver = place.receive().await;
    assert_eq!(place.send("msg_1", &book("added", 1)).await, 202);
    place.until_ran("it has begun", |ran| ran.len() == 1).await;
    receiver.kill();
    // The next receiver listens only after the programs of this one are killed.
    let _receiver = place.receive().await;
    let first = place.ran()[0].clone();
    let state = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap_or_default();
    assert!(
        state.is_empty() || state.contains(") Z "),
        "it still runs: {state}"
    );
    place
        .until_ran("it has begun again", |ran| ran.len() == 2)
        .await;
    place.write("go", "");
    place
        .until_ran("it has ended once", |ran| ran.len() == 3)
        .await;
}

#[tokio::test]
async fn a_repetition_is_known_after_a_restart() {
    let place = Place::with_task(NOTE, "").await;
    for (round, status) in [202, 200, 200].into_iter().enumerate() {
        let mut receiver = place.receive().await;
        assert_eq!(
            place.send("msg_1", &book("added", 1)).await,
            status,
            "{round}"
        );
        if round == 0 {
            receiver.until_log(" done ").await;
        }
        receiver.kill();
    }
    assert_eq!(place.ran(), ["msg_1 1"]);
}

#[tokio::test]
async fn a_task_that_fails_is_tried_again_and_the_others_of_its_event_are_not() {
    let failing = r#"echo "failing $ROWHOOK_ATTEMPT" >>ran; [ "$ROWHOOK_ATTEMPT" = 3 ]"#;
    let config = format!(
        "{SIGNED}{}{}",
        task("failing", failing, ""),
        task("well", "echo well >>ran", "")
    );
    let place = Place::with(&config).await;
    let mut receiver = place.receive().await;
    assert_eq!(place.send("msg_1", &book("added", 1)).await, 202);
    receiver.until_log("done task=\"failing\"").await;
    receiver.until_log("done task=\"well\"").await;
    let mut ran = place.ran();
    ran.sort();
    assert_eq!(ran, ["failing 1", "failing 2", "failing 3", "well"]);
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn the_dead_are_listed_and_retried_while_a_receiver_runs_and_while_none_does() {
    let script = "echo $ROWHOOK_ID >>ran; cat >/dev/null; echo not today >&2; [ -e go ]";
    let place = Place::with_task(script, "").await;
    assert!(
        place
            .ask(&["dead", "list"])
            .err
            .contains("no receiver has made it yet")
    );
    let mut receiver = place.receive().await;
    for id in ["msg_1", "msg_2"] {
        assert_eq!(place.send(id, &book("added", 1)).await, 202);
    }
    for id in ["msg_1", "msg_2"] {
        receiver.until_log(&format!("id=\"{id}\" number=4")).await;
    }
    until_dead(&place, 2).await;
    let list = place.ask(&["dead", "list"]);
    for part in [
        "task  book added  msg_1  4 attempts",
        "exit status: 1: not today",
    ] {
        assert!(list.out.contains(part), "{}{}", list.out, list.err);
    }
    place.write("go", "");
    let number = dead(&place)[0]["number"].to_string();
    let retried = place.ask(&["dead", "retry", &number]);
    assert_eq!(retried.out, "1 will begin anew\n", "{}", retried.err);
    receiver.until_log(" done ").await;
    until_dead(&place, 1).await;
    let unknown = place.ask(&["dead", "retry", "999"]);
    assert!(
        unknown.err.contains("nothing dead has the number 999"),
        "{}",
        unknown.err
    );
    assert!(receiver.stop().success());
    assert_eq!(
        place
            .ask(&["dead", "retry", "--all", "--task", "another"])
            .out,
        "0 will begin anew\n"
    );
    assert_eq!(
        place.ask(&["dead", "retry", "--all"]).out,
        "1 will begin anew\n"
    );
    let mut receiver = place.receive().await;
    receiver.until_log(" done ").await;
    assert_eq!(place.ran().len(), 10);
    assert_eq!(place.ask(&["dead", "list"]).out, "nothing is dead\n");
}

pub fn dead(place: &Place) -> Vec<serde_json::Value> {
    let list = place.ask(&["--json", "dead", "list"]);
    serde_json::from_str(&list.out)
        .unwrap_or_else(|error| panic!("{error}: {}{}", list.out, list.err))
}

pub async fn until_dead(place: &Place, number: usize) {
    let deadline = tokio::time::Instant::now() + harness::DEADLINE;
    while dead(place).len() != number {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{number} were never dead: {:?}",
            dead(place)
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_has_an_order_runs_in_it_through_failures_and_the_rest_does_not_wait() {
    let script = NOTE_BUT_FAIL_FIRST.replace("RAN", "ran");
    let place = Place::with_task(&script, "order_by = \"data.id\"\nconcurrency = 8").await;
    let _receiver = place.receive().await;
    let sent = send_three_books(&place).await;
    let ran = place.until_ran("all have run", |ran| ran.len() == 15).await;
    assert_in_order(&ran, &sent);
}

#[tokio::test]
async fn a_dead_one_lets_the_next_of_its_lane_go() {
    let script = r#"[ "$ROWHOOK_ID" = msg_1 ] && exit 1; echo "$ROWHOOK_ID" >>ran"#;
    let place = Place::with_task(script, "order_by = \"data.id\"").await;
    let _receiver = place.receive().await;
    for id in ["msg_1", "msg_2", "msg_3"] {
        assert_eq!(place.send(id, &book("changed", 1)).await, 202);
    }
    place
        .until_ran("those behind it", |ran| ran == ["msg_2", "msg_3"])
        .await;
}

#[tokio::test]
async fn no_more_run_at_once_than_is_said() {
    let script = r#"
        echo "begun" >>ran
        until [ -e go ]; do sleep 0.01; done
        echo "ended" >>ran"#;
    let config = format!(
        "concurrency = 3\n{SIGNED}{}{}",
        task("a", script, "concurrency = 2"),
        task("b", script, "concurrency = 2")
    );
    let place = Place::with(&config).await;
    let receiver = place.receive().await;
    for number in 0..5 {
        assert_eq!(
            place
                .send(&format!("msg_{number}"), &book("added", number))
                .await,
            202
        );
    }
    place
        .until_ran("three have begun", |ran| ran.len() == 3)
        .await;
    place.write("go", "");
    let ran = place
        .until_ran("all have ended", |ran| ran.len() == 20)
        .await;
    let mut running = 0_i32;
    for line in ran {
        running += if line == "begun" { 1 } else { -1 };
        assert!((0..=3).contains(&running));
    }
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn a_full_queue_asks_senders_to_come_again_and_takes_them_when_there_is_room() {
    let script = "until [ -e go ]; do sleep 0.01; done; echo $ROWHOOK_ID >>ran";
    let config = format!(
        "queue_size = \"1MiB\"\nmax_body = \"2MiB\"\n{SIGNED}{}",
        task("task", script, "")
    );
    let place = Place::with(&config).await;
    let mut receiver = place.receive().await;
    let large =
        |id: u32| book("added", id).replace("\"x\"", &format!("\"{}\"", "x".repeat(600_000)));
    assert_eq!(place.send("msg_1", &large(1)).await, 202);
    assert_eq!(place.send("msg_2", &large(2)).await, 503);
    assert_eq!(place.send("msg_1", &large(1)).await, 200);
    assert_eq!(place.send("msg_3", &book("added", 3)).await, 202);
    let larger = large(4).replace("xxx", "xxxxxx");
    assert_eq!(place.send("msg_4", &larger).await, 413);
    place.write("go", "");
    receiver.until_log("done task=\"task\" id=\"msg_1\"").await;
    assert_eq!(place.send("msg_2", &large(2)).await, 202);
    place.until_ran("all three", |ran| ran.len() == 3).await;
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn a_second_receiver_on_the_same_folder_is_refused() {
    let place = Place::with_task(NOTE, "").await;
    let receiver = place.receive().await;
    let second = place.ask(&[]);
    assert_eq!(second.code, 1);
    assert!(
        second.err.contains("is another receiver's"),
        "{}",
        second.err
    );
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn a_stop_waits_for_what_runs_and_a_short_grace_leaves_it_queued() {
    let script = "echo begun >>ran; until [ -e go ]; do sleep 0.05; done; echo ended >>ran";
    let config = format!("grace = \"100ms\"\n{SIGNED}{}", task("task", script, ""));
    let place = Place::with(&config).await;
    let receiver = place.receive().await;
    assert_eq!(place.send("msg_1", &book("added", 1)).await, 202);
    place.until_ran("it has begun", |ran| ran.len() == 1).await;
    assert!(receiver.stop().success());
    assert_eq!(place.ran(), ["begun"]);
    place.write("go", "");
    let mut receiver = place.receive().await;
    receiver.until_log(" done ").await;
    assert_eq!(place.ran(), ["begun", "begun", "ended"]);
}

#[tokio::test]
async fn what_waits_for_a_task_that_is_gone_is_reported_and_kept() {
    let slow = |name: &str| {
        format!("{SIGNED}[[tasks]]\nname = \"{name}\"\ncommand = [\"false\"]\nretries = [\"1h\"]\n")
    };
    let place = Place::with(&slow("old")).await;
    let mut receiver = place.receive().await;
    assert_eq!(place.send("msg_1", &book("added", 1)).await, 202);
    receiver.until_log("will be tried again").await;
    assert!(receiver.stop().success());
    place.configure(&slow("new"));
    let mut receiver = place.receive().await;
    receiver.until_log("there is no such task any more").await;
}

#[tokio::test]
async fn an_http_call_carries_the_body_the_facts_and_a_signature_and_is_made_until_it_succeeds() {
    let target = Receiver::answering(|_, before| [500, 302, 204][before.min(2)]).await;
    let config = format!(
        "{SIGNED}[[tasks]]\nname = \"call\"\nurl = \"{}\"\nsecret = \"{SECRET}\"\nretries = [\"10ms\", \"10ms\"]\n",
        target.url()
    );
    let place = Place::with(&config).await;
    let mut receiver = place.receive().await;
    let body = book("added", 1);
    assert_eq!(place.send("msg_1", &body).await, 202);
    receiver.until_log("done task=\"call\" id=\"msg_1\"").await;
    let calls = target.calls();
    assert_eq!(calls.len(), 3);
    for (call, attempt) in calls.iter().zip(["1", "2", "3"]) {
        call.verify();
        assert_eq!((call.id(), &call.body[..]), ("msg_1", body.as_bytes()));
        assert_eq!(call.header("rowhook-model"), "book");
        assert_eq!(call.header("rowhook-event"), "added");
        assert_eq!(call.header("rowhook-attempt"), attempt);
    }
    assert!(receiver.stop().success());
}
