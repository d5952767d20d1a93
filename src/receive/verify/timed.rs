//! The signatures of Slack, Zoom and Stripe: an HMAC-SHA256 of the time and the body.

use axum::http::{HeaderMap, HeaderName};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::refusal::{Refusal, text};
use crate::secret::Secret;

/// How many signatures of a request are looked at. Each secret that a sender still signs with makes one.
pub(super) const MOST_SIGNATURES: usize = 16;

/// A sender that signs the time with the body, in its own way. The text of a secret is the key.
///
/// Ids are in none of its headers. Whoever overhears a request can send it again for as long as its time is tolerated,
/// and then it is known by the id in its body, where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimedScheme {
    /// `X-Slack-Signature: v0=…`, with the time in `X-Slack-Request-Timestamp`.
    Slack,
    /// `x-zm-signature: v0=…`, with the time in `x-zm-request-timestamp`.
    Zoom,
    /// `Stripe-Signature: t=…,v1=…`, with a `v1` for each of its secrets.
    Stripe,
}

/// What a request says of its signature.
struct Signed<'a> {
    /// The text before the body that is signed with it.
    before: String,
    seconds: u64,
    codes: Vec<&'a str>,
}

impl TimedScheme {
    /// The member of the body that has the id of an event.
    pub(in crate::receive) fn id(self) -> Option<&'static str> {
        match self {
            Self::Slack => Some("event_id"),
            Self::Zoom => None,
            Self::Stripe => Some("id"),
        }
    }

    /// Checks a request against each of the secrets, and returns the time that was signed, in seconds since 1970.
    pub(super) fn verify(
        self,
        secrets: &[Secret],
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<u64, Refusal> {
        let signed = match self {
            Self::Slack => apart(headers, "x-slack-signature", "x-slack-request-timestamp")?,
            Self::Zoom => apart(headers, "x-zm-signature", "x-zm-request-timestamp")?,
            Self::Stripe => together(headers)?,
        };
        let codes = signed.codes.iter().take(MOST_SIGNATURES);
        let codes: Vec<Vec<u8>> = codes.filter_map(|code| hex::decode(code).ok()).collect();
        let is_key = |secret: &Secret| {
            let keyed = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.expose().as_bytes());
            // The body is hashed once for a key, however many signatures there are. They are compared in constant time.
            keyed.is_ok_and(|hmac| {
                let hmac = hmac.chain_update(&signed.before).chain_update(body);
                let fits = |code: &Vec<u8>| hmac.clone().verify_slice(code).is_ok();
                codes.iter().any(fits)
            })
        };
        if secrets.iter().any(is_key) {
            Ok(signed.seconds)
        } else {
            Err(Refusal::Wrong(self.header()))
        }
    }

    fn header(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Slack => "x-slack-signature",
            Self::Zoom => "x-zm-signature",
            Self::Stripe => "stripe-signature",
        })
    }
}

/// Slack's and Zoom's form: the signature and the time have a header each.
fn apart<'a>(
    headers: &'a HeaderMap,
    signature: &'static str,
    time: &'static str,
) -> Result<Signed<'a>, Refusal> {
    const VERSION: &str = "v0";
    let code = text(headers, &HeaderName::from_static(signature))?;
    let code = code
        .strip_prefix(VERSION)
        .and_then(|rest| rest.strip_prefix('='));
    let header = HeaderName::from_static(time);
    let time = text(headers, &header)?;
    let seconds = time.parse();
    let malformed = |_| Refusal::Malformed(header, "send seconds since 1970");
    Ok(Signed {
        before: format!("{VERSION}:{time}:"),
        seconds: seconds.map_err(malformed)?,
        codes: code.into_iter().collect(),
    })
}

/// Stripe's form: the time and the signatures of several versions, all in one header.
fn together(headers: &HeaderMap) -> Result<Signed<'_>, Refusal> {
    let header = TimedScheme::Stripe.header();
    let value = text(headers, &header)?;
    let pairs = || value.split(',').filter_map(|pair| pair.split_once('='));
    let time = pairs().find_map(|(key, time)| (key == "t").then_some(time));
    let (Some(time), Some(Ok(seconds))) = (time, time.map(str::parse)) else {
        return Err(Refusal::Malformed(header, "send t=SECONDS,v1=SIGNATURE"));
    };
    Ok(Signed {
        before: format!("{time}."),
        seconds,
        codes: pairs()
            .filter_map(|(key, code)| (key == "v1").then_some(code))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLACK: [(&str, &str); 2] = [
        ("x-slack-request-timestamp", "1531420618"),
        (
            "x-slack-signature",
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        ),
    ];
    /// `openssl dgst -sha256 -hmac whsec_key` of `v0:1700000000:{}`, and of `1700000000.{}`.
    const ZOOM: &str = "v0=dbe30644d92040e443296b696700ae60809b78eb1a3218b63858af8df26c161e";
    const STRIPE: &str = "bfdd020b0e5c78488e2eb7c57161338519524f24714a6ba86c4224c4b6981a9d";
    /// Another signature that looks right.
    const OTHER: &str = "0fdd020b0e5c78488e2eb7c57161338519524f24714a6ba86c4224c4b6981a9d";

    fn verify(
        scheme: TimedScheme,
        key: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<u64, String> {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), value.parse().unwrap())
        };
        let headers = headers.iter().map(pair).collect();
        let secrets = [Secret::new("another"), Secret::new(key)];
        let verified = scheme.verify(&secrets, &headers, body.as_bytes());
        verified.map_err(|refusal| format!("{} {refusal}", refusal.status().as_u16()))
    }

    #[test]
    fn slack_documents_this_example() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let key = "8f742231b10e8888abcd99yyyzzz85a5";
        let slack = |key: &str, headers, body| verify(TimedScheme::Slack, key, headers, body);
        assert_eq!(slack(key, &SLACK, body), Ok(1_531_420_618));
        let wrong = "401 the signature in x-slack-signature does not fit the body and any secret"
            .to_owned();
        assert_eq!(slack("8f742231", &SLACK, body), Err(wrong.clone()));
        assert_eq!(slack(key, &SLACK, "token=x"), Err(wrong.clone()));
        // Another time would make an old request a new one.
        let later = [("x-slack-request-timestamp", "1531420619"), SLACK[1]];
        assert_eq!(slack(key, &later, body), Err(wrong));
    }

    #[test]
    fn zoom_signs_alike_in_headers_of_its_own() {
        let zoom = |time, signature| {
            let headers = [
                ("x-zm-request-timestamp", time),
                ("x-zm-signature", signature),
            ];
            verify(TimedScheme::Zoom, "whsec_key", &headers, "{}")
        };
        assert_eq!(zoom("1700000000", ZOOM), Ok(1_700_000_000));
        for wrong in ["", "v0", "v0=", "v0=zz", "v1=00", &ZOOM[3..]] {
            let told = "401 the signature in x-zm-signature does not fit the body and any secret";
            assert_eq!(zoom("1700000000", wrong), Err(told.to_owned()), "{wrong}");
        }
        for time in ["", "yesterday", "-1", "1700000000000000000000"] {
            let told =
                "400 the header x-zm-request-timestamp is malformed; send seconds since 1970";
            assert_eq!(zoom(time, ZOOM), Err(told.to_owned()), "{time}");
        }
        let alone = verify(TimedScheme::Zoom, "k", &[("x-zm-signature", ZOOM)], "{}");
        assert_eq!(
            alone,
            Err("401 the header x-zm-request-timestamp is missing".to_owned())
        );
    }

    #[test]
    fn stripe_has_time_and_signatures_in_one_header() {
        let stripe = |value: &str| {
            verify(
                TimedScheme::Stripe,
                "whsec_key",
                &[("stripe-signature", value)],
                "{}",
            )
        };
        for value in [
            format!("t=1700000000,v1={STRIPE}"),
            format!("t=1700000000,v1={OTHER},v1={STRIPE},v0=ff"),
            format!("v1={STRIPE},t=1700000000"),
            format!("t=1700000000,{}v1={STRIPE}", "v1=ff,".repeat(15)),
        ] {
            assert_eq!(stripe(&value), Ok(1_700_000_000), "{value}");
        }
        for value in [
            format!("t=1700000001,v1={STRIPE}"),
            format!("t=1700000000,v0={STRIPE}"),
            format!("t=1700000000,v1={OTHER}"),
            format!("t=1700000000,{}v1={STRIPE}", "v1=ff,".repeat(16)),
            "t=1700000000".to_owned(),
        ] {
            let refused = stripe(&value).unwrap_err();
            assert!(refused.starts_with("401 the signature in stripe-signature"));
        }
        for value in ["", "v1=ff", "t=,v1=ff", "t=now", ",,,="] {
            let told = "400 the header stripe-signature is malformed; send t=SECONDS,v1=SIGNATURE";
            assert_eq!(stripe(value), Err(told.to_owned()), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_header_and_no_body_panics_or_is_believed(value in "[ -~]{0,80}", body in any::<Vec<u8>>()) {
            for scheme in [TimedScheme::Slack, TimedScheme::Zoom, TimedScheme::Stripe] {
                let names = ["x-slack-signature", "x-slack-request-timestamp", "x-zm-signature", "x-zm-request-timestamp", "stripe-signature"];
                let headers = names.map(|name| (HeaderName::from_static(name), value.trim().parse().unwrap()));
                let headers = HeaderMap::from_iter(headers);
                prop_assert!(scheme.verify(&[Secret::new("key")], &headers, &body).is_err());
            }
        }
    }
}
