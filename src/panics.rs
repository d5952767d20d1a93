//! Panics that are caught, so that a bug ends the piece of work that ran into it and nothing else.
//!
//! Whoever catches decides what is thrown away: whatever the work was changing may be half changed.
//! [`lock`](crate::lock) hands such values out all the same.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::Once,
    task::Poll,
};

#[cfg(not(panic = "unwind"))]
compile_error!(
    "build rowhook with panic = \"unwind\": one hook that it panics on would end it for all of them"
);

/// The most bytes of a message that are kept. A message may quote the data that the panic is about.
const MOST_OF_MESSAGE: usize = 500;

thread_local! {
    /// How many catchers this thread is inside of.
    static CATCHERS: Cell<usize> = const { Cell::new(0) };
    /// Where the last panic of this thread happened that is caught.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    message: String,
    /// The file, line and column in the source; empty where they are not known.
    place: String,
}

/// What it said and where, and that it is to be reported.
impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, place } = self;
        let version = env!("CARGO_PKG_VERSION");
        write!(
            f,
            "{message} (rowhook {version}, {place}), please report it"
        )
    }
}

impl std::error::Error for Panic {}

impl Panic {
    /// Why a hook cannot be used that rowhook has panicked on.
    pub fn as_reason(&self) -> String {
        format!("rowhook panicked on it: {self}")
    }

    fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("it left no message");
        Self {
            message: beginning(text, MOST_OF_MESSAGE).to_owned(),
            place: PLACE.take().unwrap_or_default(),
        }
    }
}

/// The beginning of a text, in whole characters and with at most so many bytes.
pub fn beginning(text: &str, most: usize) -> &str {
    let mut ends = (0..=most.min(text.len())).rev();
    ends.find_map(|end| text.get(..end)).unwrap_or_default()
}

/// Does some work, and catches its panic.
///
/// # Errors
/// The panic. It has not been logged.
pub fn caught_now<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    keep_places();
    CATCHERS.set(CATCHERS.get() + 1);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHERS.set(CATCHERS.get() - 1);
    done.map_err(|payload| Panic::new(&*payload))
}

/// Waits for some work, and catches its panic.
///
/// # Errors
/// The panic. It has not been logged.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panic> {
    let mut work = pin!(work);
    poll_fn(|context| {
        let polled = caught_now(|| work.as_mut().poll(context));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// Has the place of each panic kept that is caught here, which only the process-wide hook is told. Other panics are
/// printed as ever.
fn keep_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHERS.get() > 0 {
                PLACE.set(info.location().map(ToString::to_string));
            } else {
                others(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_tells_what_it_said_and_where() {
        let line = line!() + 1;
        let panic = caught_now(|| panic!("seven of {}", 9)).unwrap_err();
        let told = panic.as_reason();
        assert!(
            told.starts_with("rowhook panicked on it: seven of 9 (rowhook 0."),
            "{told}"
        );
        assert!(
            told.contains(&format!("src/panics.rs:{line}:")) && told.ends_with("please report it"),
            "{told}"
        );
        assert_eq!(caught_now(|| 7), Ok(7));
    }

    #[test]
    fn a_message_is_kept_in_part() {
        let panic = caught_now(|| panic!("{}", "ä".repeat(400))).unwrap_err();
        assert_eq!(panic.message, "ä".repeat(250));
    }

    #[tokio::test]
    async fn work_that_panics_after_it_has_waited_leaves_what_it_had_borrowed() {
        let mut kept = vec![1];
        let done = caught(async {
            kept.push(2);
            tokio::task::yield_now().await;
            panic!("later");
        });
        let panic: Panic = done.await.unwrap_err();
        assert_eq!((panic.message.as_str(), kept), ("later", vec![1, 2]));
    }
}
