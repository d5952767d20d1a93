//! One request that a receiver got.

use axum::{body::Bytes, http::HeaderMap};
use serde_json::Value;

/// The secret of all hooks in the tests.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The ids of the rows that calls told of, sorted: rows are told side by side, each in its own order.
pub fn ids(calls: &[Call]) -> Vec<Value> {
    let mut ids: Vec<Value> = calls.iter().map(|call| call.data()["id"].clone()).collect();
    ids.sort_by_key(Value::as_i64);
    ids
}

/// A request, and the status it was answered with.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers, as they were sent.
    pub headers: HeaderMap,
    /// The body, as it was before it was compressed.
    pub body: Bytes,
    /// How many bytes it had on its way.
    pub sent: usize,
    /// The status of the answer.
    pub status: u16,
}

impl Call {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// `data` of a rest-hooks body.
    pub fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    /// The name of the event in a rest-hooks body. Empty where there is none.
    pub fn event(&self) -> String {
        self.json()["hook"]["event"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The value of a header. Empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The `webhook-id`.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// Verifies the signature with the official library and [`SECRET`].
    ///
    /// # Panics
    /// When the signature is wrong or missing.
    pub fn verify(&self) {
        let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
        webhook
            .verify(&self.body, &self.headers)
            .unwrap_or_else(|error| panic!("{error}: {self:?}"));
    }
}
