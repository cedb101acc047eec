//! What a receiver's answer means for the batch that it was sent.

use std::time::Duration;

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is upstream.
    Taken,
    /// It is sent again, the same octets under the same key; not before this pause, where the receiver asks for one.
    Again(Option<Duration>),
    /// The receiver never takes it: it is laid aside, and the next one is sent.
    Refused,
    /// The receiver wants nothing more.
    Gone,
}

/// Of an answer over HTTP, by its status and its Retry-After (RFC 9110 §10.2.3), of which seconds are understood.
/// Redirects are not followed, and what they lead to was not asked: they are tried again.
pub fn of_status(status: u16, retry_after: Option<&str>) -> Verdict {
    match status {
        200..=299 => Verdict::Taken,
        410 => Verdict::Gone,
        408 | 429 | 500.. => {
            Verdict::Again(retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs))
        }
        400..=499 => Verdict::Refused,
        _ => Verdict::Again(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_is_the_batchs_own_fault_is_not() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(of_status(status, None), Verdict::Taken);
        }
        for status in [301, 302, 307, 408, 429, 500, 502, 503, 504, 599] {
            assert_eq!(of_status(status, None), Verdict::Again(None));
        }
        for status in [400, 401, 403, 404, 409, 413, 415, 422] {
            assert_eq!(of_status(status, Some("7")), Verdict::Refused);
        }
        assert_eq!(of_status(410, None), Verdict::Gone);
    }

    #[test]
    fn a_receiver_may_say_for_how_long_it_is_busy() {
        assert_eq!(of_status(503, Some(" 7 ")), Verdict::Again(Some(Duration::from_secs(7))));
        assert_eq!(of_status(429, Some("soon")), Verdict::Again(None));
    }
}
