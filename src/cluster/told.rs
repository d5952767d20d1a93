//! A hook as it is told over a link: all that decides where and how its deliveries are sent. Who hears what is decided
//! by the reader, and not told.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};

use crate::{
    config::{self, Batch, ClientCredentials, Compression, Config, DisableAfter, Rate, Tls},
    expression::template::Template,
    hook::{Hook, HookId, Origin},
    secret::Secret,
    send::target::{Target, TargetParts},
    signature::{Algorithm, Encoding, HeaderSignature, SignatureScheme, Signer, SignerParts},
};

/// A hook. `Debug` is left out, since it has secrets.
#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    id: String,
    numeric: bool,
    owner: Option<String>,
    active: bool,
    of_file: bool,
    url: String,
    method: String,
    headers: Vec<ToldHeader>,
    signer: Option<ToldSigner>,
    /// The fingerprint of its certificate and authorities, which each rowhook has in its own files.
    tls: Option<String>,
    oauth2: Option<ToldClient>,
    timeout: u64,
    retries: Vec<u64>,
    concurrency: NonZeroUsize,
    /// After how many milliseconds it is disabled; `None`: after so many failures.
    disable_after: Option<u64>,
    disable_after_failures: Option<u32>,
    rate: Option<String>,
    compress: String,
    batch: Option<ToldBatch>,
    /// Its bodies are made by a template, so nobody knows what in them is to be redacted.
    templated: bool,
}

#[derive(Serialize, Deserialize)]
struct ToldHeader {
    name: String,
    value: Vec<u8>,
    sensitive: bool,
}

#[derive(Serialize, Deserialize)]
struct ToldSigner {
    /// `None`: Standard Webhooks.
    header: Option<ToldScheme>,
    secret: String,
    previous: Option<(String, Option<u64>)>,
}

#[derive(Serialize, Deserialize)]
struct ToldScheme {
    header: String,
    algorithm: Algorithm,
    encoding: Encoding,
    prefix: String,
}

#[derive(Serialize, Deserialize)]
struct ToldClient {
    token_url: String,
    client_id: String,
    client_secret: String,
    scope: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ToldBatch {
    max: NonZeroUsize,
    max_bytes: usize,
    wait: u64,
}

/// A hook that was told, and why it cannot be sent to from here, if it cannot. It is not active then, and what it hears
/// is kept.
pub(super) struct Heard {
    pub(super) hook: Arc<Hook>,
    pub(super) obstacle: Option<String>,
}

impl Told {
    pub(super) fn of(hook: &Hook) -> Self {
        let TargetParts {
            url,
            signer,
            headers,
            method,
            tls,
            oauth2,
        } = hook.target.parts();
        let delivery = &hook.delivery;
        let (disable_after, disable_after_failures) = match delivery.disable_after {
            DisableAfter::Time(time) => (Some(millis(time)), None),
            DisableAfter::Failures(failures) => (None, Some(failures)),
        };
        Self {
            id: hook.id.as_str().to_owned(),
            numeric: hook.id.is_number(),
            owner: hook.owner.as_deref().map(str::to_owned),
            active: hook.active,
            of_file: hook.origin == Origin::File,
            url: url.into(),
            method: method.to_string(),
            headers: headers
                .iter()
                .map(|(name, value)| ToldHeader {
                    name: name.to_string(),
                    value: value.as_bytes().to_vec(),
                    sensitive: value.is_sensitive(),
                })
                .collect(),
            signer: signer.as_ref().map(ToldSigner::of),
            tls: tls.map(|tls| hex::encode(tls.fingerprint())),
            oauth2: oauth2.map(|client| ToldClient {
                token_url: client.token_url.to_string(),
                client_id: client.client_id.clone(),
                client_secret: client.client_secret.expose().to_owned(),
                scope: client.scope.clone(),
            }),
            timeout: millis(delivery.timeout),
            retries: delivery.retries.iter().copied().map(millis).collect(),
            concurrency: delivery.concurrency,
            disable_after,
            disable_after_failures,
            rate: delivery.rate.map(|rate| rate.to_string()),
            compress: delivery.compress.name().to_owned(),
            batch: delivery.batch.map(|batch| ToldBatch {
                max: batch.max,
                max_bytes: batch.max_bytes,
                wait: millis(batch.wait),
            }),
            templated: delivery.template.is_some(),
        }
    }

    /// The hook, with the certificates of our own files.
    ///
    /// # Errors
    /// What of it cannot be understood. A rowhook of the same version tells nothing of that kind.
    pub(super) fn into_hook(self, config: &Config) -> Result<Heard, String> {
        let tls = self.tls.as_deref().map(|fingerprint| {
            let found = find_tls(config, fingerprint);
            found.ok_or("hooks.toml has another certificate here than at the reader; have the same files everywhere")
        });
        let (tls, obstacle) = match tls.transpose() {
            Ok(tls) => (tls, None),
            Err(obstacle) => (None, Some(obstacle.to_owned())),
        };
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for ToldHeader {
            name,
            value,
            sensitive,
        } in self.headers
        {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            let value = HeaderValue::try_from(value);
            let mut value = value.map_err(|error| error.to_string())?;
            value.set_sensitive(sensitive);
            headers.append(name, value);
        }
        let signer = self.signer.map(ToldSigner::into_signer).transpose()?;
        let target = Target::of_parts(TargetParts {
            url: self.url.into(),
            signer,
            headers,
            method: Method::try_from(&*self.method).map_err(|error| error.to_string())?,
            tls,
            oauth2: self.oauth2.map(ToldClient::into_client).transpose()?,
        });
        let disable_after = match (self.disable_after, self.disable_after_failures) {
            (Some(time), _) => DisableAfter::Time(Duration::from_millis(time)),
            (None, Some(failures)) => DisableAfter::Failures(failures),
            (None, None) => config.delivery.disable_after,
        };
        let rate = self.rate.map(|rate| Rate::parse(&rate).ok_or(rate));
        let template = self
            .templated
            .then(|| Template::compile("{{ data }}").map(Arc::new));
        let delivery = config::Delivery {
            timeout: Duration::from_millis(self.timeout),
            retries: self
                .retries
                .into_iter()
                .map(Duration::from_millis)
                .collect(),
            concurrency: self.concurrency,
            disable_after,
            rate: rate
                .transpose()
                .map_err(|rate| format!("the rate {rate}"))?,
            compress: Compression::parse(&self.compress)?,
            batch: self.batch.map(|batch| Batch {
                max: batch.max,
                max_bytes: batch.max_bytes,
                wait: Duration::from_millis(batch.wait),
            }),
            template: template.transpose().map_err(|error| error.to_string())?,
            ..config.delivery.clone()
        };
        let hook = Hook {
            id: HookId::new(self.id, self.numeric),
            owner: self.owner.map(Arc::from),
            events: [].into(),
            filter: None,
            target,
            delivery: Arc::new(delivery),
            since: None,
            active: self.active && obstacle.is_none(),
            origin: match self.of_file {
                true => Origin::File,
                false => Origin::Table,
            },
        };
        Ok(Heard {
            hook: Arc::new(hook),
            obstacle,
        })
    }
}

impl ToldSigner {
    fn of(signer: &Signer) -> Self {
        let SignerParts {
            scheme,
            secret,
            previous,
        } = signer.parts();
        Self {
            header: match scheme {
                SignatureScheme::Standard => None,
                SignatureScheme::Header(rule) => Some(ToldScheme {
                    header: rule.header.to_string(),
                    algorithm: rule.algorithm,
                    encoding: rule.encoding,
                    prefix: rule.prefix,
                }),
            },
            secret: secret.expose().to_owned(),
            previous: previous
                .map(|(secret, until)| (secret.expose().to_owned(), until.map(since_epoch))),
        }
    }

    fn into_signer(self) -> Result<Signer, String> {
        let scheme = match self.header {
            None => SignatureScheme::Standard,
            Some(told) => SignatureScheme::Header(HeaderSignature::new(
                &told.header,
                told.algorithm,
                told.encoding,
                &told.prefix,
            )?),
        };
        let previous = self.previous.map(|(secret, until)| {
            let until = until.map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
            (Secret::new(secret), until)
        });
        let previous = previous.as_ref().map(|(secret, until)| (secret, *until));
        let signer = Signer::new(&scheme, &Secret::new(self.secret), previous);
        signer.map_err(|error| error.to_string())
    }
}

impl ToldClient {
    fn into_client(self) -> Result<Arc<ClientCredentials>, String> {
        let token_url = self.token_url.parse();
        Ok(Arc::new(ClientCredentials {
            token_url: token_url.map_err(|error: url::ParseError| error.to_string())?,
            client_id: self.client_id,
            client_secret: Secret::new(self.client_secret),
            scope: self.scope,
        }))
    }
}

/// The certificate with this fingerprint among those of the files.
fn find_tls(config: &Config, fingerprint: &str) -> Option<Tls> {
    let named = config.certificates.iter().map(|one| &one.tls);
    let own = config.hooks.iter().filter_map(|hook| hook.tls.as_ref());
    let mut all = named.chain(own);
    let found = all.find(|tls| hex::encode(tls.fingerprint()) == fingerprint);
    found.cloned()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    millis(since.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TEXT: &str = r#"
database.url = "host=127.0.0.1 port=1"
events.a = "b.created"

[[hooks]]
name = "plain"
events = ["a"]
target = "https://example.com/plain"

[[hooks]]
name = "rich"
owner = "7"
events = ["a"]
target = "https://me:secret@example.com/rich?a=b"
secret = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
method = "PUT"
headers = { x-team = "red" }
timeout = "2s"
retries = ["1s", "2s"]
concurrency = 3
rate = "20/m"
compress = "gzip"
batch = { max = 7, wait = "100ms" }
disable_after = 9
payload = "row"

[[hooks]]
name = "own"
events = ["a"]
target = "https://example.com/own"
secret = "old-fashioned"
signature = { header = "x-hub-signature", algorithm = "sha1", prefix = "sha1=" }
auth = { oauth2 = { token_url = "https://login.example/token", client_id = "me", client_secret = "hush" } }
"#;

    #[test]
    fn a_hook_is_heard_as_it_was_told() {
        let config = Config::parse(Path::new("hooks.toml"), TEXT, &|_| None).unwrap();
        for of_file in &config.hooks {
            let hook = crate::hook::from_file(of_file);
            let told = serde_json::to_vec(&Told::of(&hook)).unwrap();
            let told: Told = serde_json::from_slice(&told).unwrap();
            let Heard {
                hook: heard,
                obstacle,
            } = told.into_hook(&config).unwrap();
            assert_eq!(obstacle, None);
            let at = SystemTime::UNIX_EPOCH;
            let request = |hook: &Hook| {
                let parts = hook.target.parts();
                (
                    parts.url,
                    parts.method,
                    hook.target.headers("msg_1", "text/plain", at),
                    parts
                        .signer
                        .map(|signer| (signer.header().clone(), signer.sign("msg_1", at, b"body"))),
                    parts.oauth2,
                )
            };
            assert_eq!(request(&heard), request(&hook), "{}", hook.id);
            let how = |hook: &Hook| {
                let delivery = &hook.delivery;
                (
                    (
                        hook.id.clone(),
                        hook.owner.clone(),
                        hook.active,
                        hook.origin,
                    ),
                    (delivery.timeout, delivery.retries.clone()),
                    (delivery.concurrency, delivery.disable_after, delivery.rate),
                    (delivery.compress, delivery.batch),
                )
            };
            assert_eq!(how(&heard), how(&hook));
        }
    }
}
