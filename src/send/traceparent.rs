//! Trace contexts for the header `traceparent`. The trace and whether it is sampled depend only on the `webhook-id`.

use http::header::HeaderValue;
use sha2::{Digest, Sha256};

/// The context of a span, as W3C Trace Context defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The id of the trace, which all attempts of a delivery share.
    pub trace: u128,
    /// The id of the span, different for each attempt.
    pub span: u64,
    /// Are the spans of this trace sent?
    pub sampled: bool,
}

impl Context {
    /// A span in the trace of the delivery `id`. The fraction `sample` of all traces is sampled, and of one trace all
    /// spans or none.
    pub fn new(id: &str, span: u64, sample: f64) -> Self {
        let hash: [u8; 32] = Sha256::digest(id).into();
        let first = hash.iter().take(size_of::<u128>());
        let trace = first.fold(0_u128, |trace, byte| trace << 8 | u128::from(*byte));
        // Zero is not a valid id.
        let trace = trace.max(1);
        Self {
            trace,
            span: span.max(1),
            sampled: is_sampled(trace, sample),
        }
    }

    /// The value of the header `traceparent`.
    pub fn header(&self) -> HeaderValue {
        let Self {
            trace,
            span,
            sampled,
        } = self;
        let text = format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(*sampled));
        HeaderValue::try_from(text).expect("hexadecimal digits are a header value")
    }
}

/// Compares the lower 63 bits of the id, which are as good as random, with the fraction to sample.
fn is_sampled(trace: u128, sample: f64) -> bool {
    const RANGE: f64 = (1_u64 << 63) as f64;
    let random = (trace as u64) >> 1;
    (random as f64) < sample * RANGE || sample >= 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_of_a_delivery_are_spans_of_one_trace() {
        let [first, second] = [1, 0xabc].map(|span| Context::new("msg_1", span, 1.0));
        assert_eq!(first.trace, second.trace);
        assert_ne!(first.trace, Context::new("msg_2", 1, 1.0).trace);
        assert_eq!(
            second.header(),
            "00-116b88f173007be5e05df2a87105f095-0000000000000abc-01"
        );
        let none = Context::new("msg_1", 0, 0.0);
        assert!(!none.sampled && none.span == 1);
        assert!(none.header().to_str().unwrap().ends_with("-00"));
    }

    #[test]
    fn the_part_that_is_asked_for_is_kept_and_a_larger_part_holds_the_smaller() {
        let mut kept = 0;
        for at in 0..10_000 {
            let id = format!("msg_{at}");
            let of = |sample| Context::new(&id, 1, sample).sampled;
            assert!(of(1.0) && !of(0.0));
            assert!(of(0.5) || !of(0.25), "{id}");
            kept += u32::from(of(0.25));
        }
        assert!((2300..2700).contains(&kept), "{kept}");
    }
}
