//! Frames: what a reader says over a link, in order.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use thiserror::Error;

use super::told::Told;
use crate::{
    delivery::{Delivery, Unfit, lane::Place, whose::Whose},
    event::Position,
    hook::Hook,
    postgres::{Lsn, TableName},
};

/// Something that a reader says.
pub(super) enum Frame {
    /// The link begins, with this start of the reader. The name of the hook table is told, because it may have been
    /// renamed.
    Begin(u64, Option<TableName>),
    /// What follows for this hook is sent to it as it is here, wherever it points by now.
    Define(Box<Told>),
    /// A hook was made, changed or enabled.
    Update(Box<Told>),
    /// A hook was disabled or removed.
    Stop(String),
    /// A delivery, its number, and the id of its hook, which was told before.
    Deliver {
        number: u64,
        hook: String,
        delivery: Box<Delivery>,
    },
    /// A dead delivery of this hook is parked again, in this place.
    Revive(String, Place),
    /// Something of this hook in the table may be due.
    Poll(String),
    /// Anything in the table may be due.
    PollAll,
    /// Something was forgotten.
    Forgotten,
    /// What waits for these hooks is to be parked, because others need the memory.
    Relieve(Vec<String>),
    /// The hook table has this name now.
    HookTable(TableName),
    /// The reader stops. What is not on its way is handed on by the next one.
    End,
}

/// What is no frame that we understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is no frame of a reader")]
pub(super) struct Garbled;

const BEGIN: u8 = 1;
const DEFINE: u8 = 2;
const UPDATE: u8 = 3;
const STOP: u8 = 4;
const DELIVER: u8 = 5;
const REVIVE: u8 = 6;
const POLL: u8 = 7;
const POLL_ALL: u8 = 8;
const FORGOTTEN: u8 = 9;
const RELIEVE: u8 = 10;
const HOOK_TABLE: u8 = 11;
const END: u8 = 12;

/// The bytes before the content of a frame: its kind, and the length of its content.
const HEAD: usize = 5;

impl Frame {
    /// Adds the frame to what is to be sent.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Begin(session, table) => framed(out, BEGIN, |out| {
                put_number(out, *session);
                put_optional(out, table.as_ref(), put_table);
            }),
            Self::Define(told) => framed(out, DEFINE, |out| put_told(out, told)),
            Self::Update(told) => framed(out, UPDATE, |out| put_told(out, told)),
            Self::Stop(hook) => framed(out, STOP, |out| put_text(out, hook)),
            Self::Deliver {
                number,
                hook,
                delivery,
            } => write_delivery(out, *number, hook, delivery),
            Self::Revive(hook, place) => framed(out, REVIVE, |out| {
                put_text(out, hook);
                put_place(out, *place);
            }),
            Self::Poll(hook) => framed(out, POLL, |out| put_text(out, hook)),
            Self::PollAll => framed(out, POLL_ALL, |_| {}),
            Self::Forgotten => framed(out, FORGOTTEN, |_| {}),
            Self::Relieve(hooks) => framed(out, RELIEVE, |out| {
                put_number(out, hooks.len() as u64);
                hooks.iter().for_each(|hook| put_text(out, hook));
            }),
            Self::HookTable(table) => framed(out, HOOK_TABLE, |out| put_table(out, table)),
            Self::End => framed(out, END, |_| {}),
        }
    }

    /// Adds a hook to what is to be sent, as what follows is sent to it, or as it is `now`.
    pub(super) fn write_hook(out: &mut Vec<u8>, hook: &Hook, now: bool) {
        let kind = if now { UPDATE } else { DEFINE };
        framed(out, kind, |out| put_told(out, &Told::of(hook)));
    }

    /// Takes the first frame off what was received; `None`: it is not there as a whole.
    ///
    /// # Errors
    /// When there is something else.
    pub(super) fn take(text: &mut &[u8]) -> Result<Option<Self>, Garbled> {
        let Some((head, rest)) = text.split_at_checked(HEAD) else {
            return Ok(None);
        };
        let [kind, length @ ..] = *head.first_chunk::<HEAD>().ok_or(Garbled)?;
        let length = u32::from_be_bytes(length) as usize;
        let Some((content, rest)) = rest.split_at_checked(length) else {
            return Ok(None);
        };
        let frame = Self::read(kind, Content(content))?;
        *text = rest;
        Ok(Some(frame))
    }

    fn read(kind: u8, mut content: Content<'_>) -> Result<Self, Garbled> {
        let content = &mut content;
        Ok(match kind {
            BEGIN => Self::Begin(content.number()?, content.optional(Content::table)?),
            DEFINE => Self::Define(content.told()?),
            UPDATE => Self::Update(content.told()?),
            STOP => Self::Stop(content.text()?.to_owned()),
            DELIVER => read_delivery(content)?,
            REVIVE => Self::Revive(content.text()?.to_owned(), content.place()?),
            POLL => Self::Poll(content.text()?.to_owned()),
            POLL_ALL => Self::PollAll,
            FORGOTTEN => Self::Forgotten,
            RELIEVE => {
                let count = content.number()?;
                let hooks = (0..count).map(|_| Ok(content.text()?.to_owned()));
                Self::Relieve(hooks.collect::<Result<_, _>>()?)
            }
            HOOK_TABLE => Self::HookTable(content.table()?),
            END => Self::End,
            _ => return Err(Garbled),
        })
    }
}

/// Adds a delivery to what is to be sent.
pub(super) fn write_delivery(out: &mut Vec<u8>, number: u64, hook: &str, delivery: &Delivery) {
    out.reserve(delivery.body.len() + 256);
    framed(out, DELIVER, |out| {
        put_number(out, number);
        put_text(out, hook);
        put_text(out, &delivery.id);
        put_text(out, &delivery.event);
        put_number(out, delivery.position.commit_lsn.0);
        put_number(out, delivery.position.index);
        let committed = delivery.commit_time.duration_since(SystemTime::UNIX_EPOCH);
        let committed = committed.unwrap_or_default().as_micros();
        put_number(out, u64::try_from(committed).unwrap_or(u64::MAX));
        put_place(out, delivery.place);
        put_text(out, &delivery.content_type);
        match &delivery.whose {
            Whose::Unknown => out.push(0),
            Whose::Everyone => out.push(1),
            Whose::Owner(owner) => {
                out.push(2);
                put_text(out, owner);
            }
        }
        put_number(out, delivery.about.len() as u64);
        for mark in &*delivery.about {
            put_number(out, mark.cast_unsigned());
        }
        let outline = delivery.outline.as_ref().map(|outline| outline.to_json());
        put_optional(out, outline.as_ref(), |out, json| put_text(out, json));
        match &delivery.unfit {
            None => out.push(0),
            Some(Unfit::Flawed(reason)) => {
                out.push(1);
                put_text(out, reason);
            }
            Some(Unfit::Doubtful(reason)) => {
                out.push(2);
                put_text(out, reason);
            }
        }
        let asked = delivery.asked.as_ref().map(|asked| asked.to_json());
        put_optional(out, asked.as_ref(), |out, json| put_text(out, json));
        put_bytes(out, &delivery.body);
    });
}

fn read_delivery(content: &mut Content<'_>) -> Result<Frame, Garbled> {
    let number = content.number()?;
    let hook = content.text()?.to_owned();
    let (id, event) = (content.text()?.into(), content.text()?.into());
    let position = Position {
        commit_lsn: Lsn(content.number()?),
        index: content.number()?,
    };
    let committed = Duration::from_micros(content.number()?);
    let commit_time = SystemTime::UNIX_EPOCH.checked_add(committed);
    let place = content.place()?;
    let content_type = content.text()?.into();
    let whose = match content.byte()? {
        0 => Whose::Unknown,
        1 => Whose::Everyone,
        2 => Whose::Owner(content.text()?.into()),
        _ => return Err(Garbled),
    };
    let marks = content.number()?;
    let about = (0..marks).map(|_| Ok(content.number()?.cast_signed()));
    let about: Arc<[i64]> = about.collect::<Result<_, Garbled>>()?;
    let outline = content.optional(Content::text)?;
    let outline = outline.map(serde_json::from_str).transpose();
    let unfit = match content.byte()? {
        0 => None,
        1 => Some(Unfit::Flawed(content.text()?.into())),
        2 => Some(Unfit::Doubtful(content.text()?.into())),
        _ => return Err(Garbled),
    };
    let asked = content.optional(Content::text)?;
    let asked = asked.map(serde_json::from_str).transpose();
    let delivery = Delivery {
        id,
        event,
        position,
        commit_time: commit_time.ok_or(Garbled)?,
        place,
        body: Bytes::copy_from_slice(content.bytes()?),
        content_type,
        whose,
        about,
        outline: outline.map_err(|_| Garbled)?.map(Arc::new),
        attempts: 0,
        waited: Some(Duration::ZERO),
        unfit,
        asked: asked.map_err(|_| Garbled)?.map(Arc::new),
        held: None,
    };
    Ok(Frame::Deliver {
        number,
        hook,
        delivery: Box::new(delivery),
    })
}

fn framed(out: &mut Vec<u8>, kind: u8, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; HEAD - 1]);
    content(out);
    // A body has 20 MiB where nobody has allowed more, and what the stream carries has less than a GiB.
    let length = u32::try_from(out.len() - at - (HEAD - 1)).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + HEAD - 1) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_optional<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn put_place(out: &mut Vec<u8>, place: Place) {
    let (lane, other) = match place {
        Place::One(lane) => (lane, None),
        Place::Two(old, new) => (old, Some(new)),
    };
    put_number(out, lane);
    put_optional(out, other, put_number);
}

fn put_table(out: &mut Vec<u8>, table: &TableName) {
    put_text(out, &table.schema);
    put_text(out, &table.name);
}

fn put_told(out: &mut Vec<u8>, told: &Told) {
    put_bytes(
        out,
        &serde_json::to_vec(told).expect("texts and numbers are JSON"),
    );
}

/// What is left of the content of a frame.
struct Content<'a>(&'a [u8]);

impl<'a> Content<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Garbled> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(Garbled)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Garbled> {
        self.take(1)?.first().copied().ok_or(Garbled)
    }

    fn number(&mut self) -> Result<u64, Garbled> {
        let bytes = self.take(8)?.first_chunk().ok_or(Garbled)?;
        Ok(u64::from_be_bytes(*bytes))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Garbled> {
        let length = usize::try_from(self.number()?).map_err(|_| Garbled)?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, Garbled> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Garbled)
    }

    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Garbled>,
    ) -> Result<Option<T>, Garbled> {
        match self.byte()? {
            0 => Ok(None),
            _ => read(self).map(Some),
        }
    }

    fn place(&mut self) -> Result<Place, Garbled> {
        let lane = self.number()?;
        Ok(match self.optional(Self::number)? {
            None => Place::One(lane),
            Some(new) => Place::Two(lane, new),
        })
    }

    fn table(&mut self) -> Result<TableName, Garbled> {
        Ok(TableName {
            schema: self.text()?.to_owned(),
            name: self.text()?.to_owned(),
        })
    }

    fn told(&mut self) -> Result<Box<Told>, Garbled> {
        serde_json::from_slice(self.bytes()?).map_err(|_| Garbled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery() -> Delivery {
        Delivery {
            id: "msg_1".into(),
            event: "book.added".into(),
            position: Position {
                commit_lsn: Lsn(7),
                index: 8,
            },
            commit_time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_234_567),
            place: Place::Two(9, 10),
            body: "body".into(),
            content_type: "text/plain".into(),
            whose: Whose::Owner("anna".into()),
            about: [-1, 2].into(),
            outline: None,
            attempts: 0,
            waited: Some(Duration::ZERO),
            unfit: Some(Unfit::Flawed("bad".into())),
            asked: None,
            held: None,
        }
    }

    fn written(frames: &[Frame]) -> Vec<u8> {
        let mut out = Vec::new();
        frames.iter().for_each(|frame| frame.write(&mut out));
        out
    }

    #[test]
    fn frames_are_read_as_they_were_written_and_in_order() {
        let frames = [
            Frame::Begin(3, Some(TableName::public("hooks"))),
            Frame::Deliver {
                number: 11,
                hook: "1".into(),
                delivery: Box::new(delivery()),
            },
            Frame::Revive("2".into(), Place::One(3)),
            Frame::Relieve(vec!["4".into(), "5".into()]),
            Frame::PollAll,
        ];
        let text = written(&frames);
        let mut rest = &text[..];
        let mut read = Vec::new();
        while let Some(frame) = Frame::take(&mut rest).unwrap() {
            read.push(frame);
        }
        assert!(rest.is_empty());
        assert_eq!(written(&read), text);
        let Frame::Deliver {
            number,
            hook,
            delivery: read,
        } = &read[1]
        else {
            panic!("it is another");
        };
        assert_eq!((*number, &**hook), (11, "1"));
        assert_eq!(format!("{read:?}"), format!("{:?}", delivery()));
    }

    #[test]
    fn what_is_cut_off_is_waited_for_and_what_is_damaged_is_refused() {
        let text = written(&[Frame::Deliver {
            number: 1,
            hook: "1".into(),
            delivery: Box::new(delivery()),
        }]);
        for end in 0..text.len() {
            let mut rest = &text[..end];
            assert!(Frame::take(&mut rest).is_ok_and(|frame| frame.is_none()));
        }
        let mut damaged = text.clone();
        damaged[HEAD + 8] = 0xff;
        assert_eq!(Frame::take(&mut &damaged[..]).err(), Some(Garbled));
        damaged[0] = 99;
        assert_eq!(Frame::take(&mut &damaged[..]).err(), Some(Garbled));
    }
}
