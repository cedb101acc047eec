//! Interim answers of HTTP/1.1, which hyper takes from no service: they are written to the wire beneath it, between the
//! end of what it has sent and the head of the final answer. What cannot be written there whole and at once is let go
//! of: an interim answer is a courtesy. Once the final answer is given, nothing of this exchange is written any more.

use std::io::{IoSlice, Write};
use std::sync::Arc;
use std::task::{Context, Waker};

use parking_lot::Mutex;

use super::wire::Wire;
use crate::outbound::interim::{Interim, Interims};
use crate::transport::flush::SMALL;

/// Interim answers that wait to be written.
const MOST: usize = 8;

/// The interim answers of one exchange.
pub(super) struct Interlude {
    waiting: Arc<Mutex<Waiting>>,
    wire: Arc<Mutex<Wire>>,
}

#[derive(Default)]
struct Waiting {
    answers: Vec<Vec<u8>>,
    /// Who writes them; `None` before the exchange is looked at, and once it is over.
    writer: Option<Waker>,
}

impl Interlude {
    pub(super) fn new(wire: Arc<Mutex<Wire>>) -> Self {
        Self { waiting: Arc::default(), wire }
    }

    /// Where they are told.
    pub(super) fn interims(&self) -> Interims {
        let waiting = self.waiting.clone();
        Interims::to(move |interim| {
            let Some(octets) = written(&interim) else { return };
            let mut waiting = waiting.lock();
            if waiting.answers.len() < MOST {
                waiting.answers.push(octets);
            }
            if let Some(writer) = &waiting.writer {
                writer.wake_by_ref();
            }
        })
    }

    /// Writes what has come. To be called in the connection's task, after the service was polled.
    pub(super) fn write(&self, cx: &mut Context<'_>) {
        let mut waiting = self.waiting.lock();
        if waiting.writer.as_ref().is_none_or(|writer| !writer.will_wake(cx.waker())) {
            waiting.writer = Some(cx.waker().clone());
        }
        if waiting.answers.is_empty() {
            return;
        }
        let mut wire = self.wire.lock();
        // What hyper still holds of the answer before belongs in front.
        if wire.is_flushed {
            for octets in waiting.answers.drain(..) {
                _ = wire.poll_write(cx, &[IoSlice::new(&octets)]);
            }
        }
    }
}

impl Drop for Interlude {
    fn drop(&mut self) {
        *self.waiting.lock() = Waiting::default();
    }
}

/// As HTTP/1.1 writes it (RFC 9112 §4); `None` where it does not fit into one write.
fn written(interim: &Interim) -> Option<Vec<u8>> {
    let reason = if interim.status.as_u16() == 103 { "Early Hints" } else { "Processing" };
    let mut octets = Vec::new();
    write!(octets, "HTTP/1.1 {} {reason}\r\n", interim.status.as_u16()).ok()?;
    for (name, value) in &interim.headers {
        octets.extend_from_slice(name.as_str().as_bytes());
        octets.extend_from_slice(b": ");
        octets.extend_from_slice(value.as_bytes());
        octets.extend_from_slice(b"\r\n");
    }
    octets.extend_from_slice(b"\r\n");
    (octets.len() <= SMALL).then_some(octets)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    #[test]
    fn an_interim_answer_is_a_head_alone() {
        let link = HeaderValue::from_static("</a.css>; rel=preload");
        let headers = HeaderMap::from_iter([(http::header::LINK, link)]);
        let status = StatusCode::from_u16(103).unwrap();
        let octets = written(&Interim { status, headers }).unwrap();
        assert_eq!(octets, b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
        let long = HeaderValue::try_from("x".repeat(SMALL)).unwrap();
        let headers = HeaderMap::from_iter([(http::header::LINK, long)]);
        assert_eq!(written(&Interim { status, headers }), None);
    }
}
