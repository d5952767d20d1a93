//! What one request carries: a single delivery as it is, or a JSON array of several.

use std::sync::Arc;

use bytes::Bytes;

use super::{Delivery, id::batch_id};
use crate::config::Batch;

/// The body of a request, and what its headers say of it.
#[derive(Debug)]
pub struct Load {
    /// The `webhook-id`.
    pub id: Arc<str>,
    /// The body.
    pub body: Bytes,
    /// The content type of the body.
    pub content_type: Arc<str>,
    /// Where the body is an array, the ids of its members in order, separated by commas.
    pub members: Option<Arc<str>>,
}

impl Load {
    /// Packs deliveries that go together under `rule`; `None` where there are none. The same deliveries always get the
    /// same id.
    pub fn new(rule: Option<Batch>, deliveries: &[Delivery]) -> Option<Self> {
        let members: Vec<(&Arc<str>, &Bytes)> = deliveries
            .iter()
            .map(|delivery| (&delivery.id, &delivery.body))
            .collect();
        let content_type = &deliveries.first()?.content_type;
        Some(Self::pack(rule, content_type, &members))
    }

    /// Packs a single body that is no delivery, as a delivery would be packed under `rule`.
    pub fn of_one(rule: Option<Batch>, id: &str, content_type: &str, body: &Bytes) -> Self {
        Self::pack(rule, &content_type.into(), &[(&id.into(), body)])
    }

    fn pack(rule: Option<Batch>, content_type: &Arc<str>, members: &[(&Arc<str>, &Bytes)]) -> Self {
        if let [(id, body)] = members
            && (rule.is_none() || !is_json(content_type))
        {
            return Self {
                id: Arc::clone(id),
                body: Bytes::clone(body),
                content_type: Arc::clone(content_type),
                members: None,
            };
        }
        let ids: Vec<&str> = members.iter().map(|(id, _)| &***id).collect();
        let bodies = members.iter().map(|(_, body)| *body);
        let (body, content_type) = array(content_type, bodies);
        Self {
            id: batch_id(&ids).into(),
            body,
            content_type: content_type.into(),
            members: Some(ids.join(",").into()),
        }
    }
}

/// The array of bodies that have this content type, and its own content type.
pub fn array<'a>(
    content_type: &str,
    bodies: impl IntoIterator<Item = &'a Bytes> + Clone,
) -> (Bytes, String) {
    let bytes = bodies.clone().into_iter().map(|body| body.len() + 1);
    let mut array = Vec::with_capacity(bytes.sum::<usize>() + 1);
    for (number, body) in bodies.into_iter().enumerate() {
        array.push(if number == 0 { b'[' } else { b',' });
        array.extend_from_slice(body);
    }
    array.push(b']');
    (array.into(), of_array(content_type))
}

/// Whether bodies of this content type can be members of a JSON array.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json")
}

/// The content type of an array of such bodies. CloudEvents have one of their own for it.
fn of_array(content_type: &str) -> String {
    content_type.replacen(
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        1,
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{
        delivery::{lane::Place, whose::Whose},
        event::Position,
        postgres::Lsn,
    };

    const JSON: &str = "application/json";
    const EVENTS: &str = "application/cloudevents+json";

    fn rule(max: usize) -> Option<Batch> {
        let (max, wait) = (max.try_into().unwrap(), std::time::Duration::from_secs(1));
        Some(Batch {
            max,
            max_bytes: 1 << 20,
            wait,
        })
    }

    fn delivery(number: u64, content_type: &str) -> Delivery {
        Delivery {
            id: format!("msg_{number}").into(),
            event: "book.added".into(),
            position: Position {
                commit_lsn: Lsn(1),
                index: number,
            },
            commit_time: SystemTime::UNIX_EPOCH,
            place: Place::One(number),
            body: "1".into(),
            content_type: content_type.into(),
            whose: Whose::Everyone,
            about: Arc::default(),
            outline: None,
            attempts: 0,
            waited: Some(Duration::ZERO),
            unfit: None,
            asked: None,
            held: None,
        }
    }

    #[test]
    fn an_array_holds_the_bodies_in_order_and_is_known_by_its_members() {
        let mut deliveries = vec![delivery(1, JSON), delivery(2, JSON)];
        let load = Load::new(rule(9), &deliveries).unwrap();
        assert_eq!((&load.body[..], &*load.content_type), (&b"[1,1]"[..], JSON));
        assert_eq!(load.members.as_deref(), Some("msg_1,msg_2"));
        assert_eq!(
            Load::new(rule(9), &deliveries).unwrap().id,
            load.id,
            "the same members, the same id"
        );
        deliveries.swap(0, 1);
        assert_ne!(Load::new(rule(9), &deliveries).unwrap().id, load.id);
        let alone = Load::new(rule(9), &deliveries[..1]).unwrap();
        assert_eq!(&alone.body[..], b"[1]");
        assert_ne!(alone.id, deliveries[0].id);
        let bare = Load::new(None, &deliveries[..1]).unwrap();
        assert_eq!((&bare.id, &bare.body[..]), (&deliveries[0].id, &b"1"[..]));
        let events = [delivery(1, EVENTS)];
        assert_eq!(
            &*Load::new(rule(9), &events).unwrap().content_type,
            "application/cloudevents-batch+json"
        );
    }
}
