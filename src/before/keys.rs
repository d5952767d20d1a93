//! The advisory locks by which a question is answered. Their keys are made as `question_lock` of SQL makes them.

use super::verdict::Verdict;
use crate::message::MessageKey;

/// The lock that is held while questions are answered.
pub(super) const READY: &str = "ready";

/// The most bytes of text that go with an answer: four in each lock.
const MOST: usize = 4 * 64;

/// The lock that the asking session waits for.
pub(super) fn wait(key: &MessageKey, question: &str) -> i64 {
    key.lock(&format!("{question} wait"))
}

/// The lock that says what the answer is.
pub(super) fn answer(key: &MessageKey, question: &str, verdict: &Verdict) -> i64 {
    let word = match verdict {
        Verdict::Allowed { .. } => "allowed",
        Verdict::Refused(_) => "refused",
        Verdict::Silent(_) => "silent",
    };
    key.lock(&format!("{question} {word}"))
}

/// The locks, of two keys each, that say the reason of an answer: the name of the event, that of the hook and the
/// reason, in lines.
pub(super) fn text(key: &MessageKey, question: &str, text: &str) -> Vec<(i32, i32)> {
    let tag = key.lock(&format!("{question} text")).cast_unsigned() >> 38;
    let tag = u32::try_from(tag & ((1 << 26) - 1)).unwrap_or_default() << 6;
    let end = (0..=MOST.min(text.len())).rev();
    let end = end.into_iter().find(|end| text.is_char_boundary(*end));
    let bytes = text.as_bytes().get(..end.unwrap_or_default());
    let quads = bytes.unwrap_or_default().chunks(4).zip(0..);
    quads
        .map(|(quad, number)| {
            let mut four = [0; 4];
            four.iter_mut().zip(quad).for_each(|(to, from)| *to = *from);
            ((tag | number).cast_signed(), i32::from_be_bytes(four))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Lsn;

    #[test]
    fn a_text_stands_in_locks_that_are_cut_at_a_character() {
        let key = MessageKey::new(&[7; 64], Lsn(0));
        let locks = text(&key, "q", "abcde");
        assert_eq!(locks.len(), 2);
        assert_eq!(locks[0].1, i32::from_be_bytes(*b"abcd"));
        assert_eq!(locks[1].1, i32::from_be_bytes(*b"e\0\0\0"));
        assert_eq!(locks[0].0 & 63, 0);
        assert_eq!(locks[1].0, locks[0].0 + 1);
        assert_ne!(text(&key, "r", "abcde")[0].0, locks[0].0);
        let long = text(&key, "q", &"ä".repeat(200));
        assert_eq!(long.len(), 64);
        assert!(text(&key, "q", &format!("a{}", "ä".repeat(200)))[63].1 & 0xff == 0);
    }
}
