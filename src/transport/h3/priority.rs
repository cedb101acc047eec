//! From RFC 9218 to the priorities of QUIC streams. One number orders them all: urgency first; within one urgency the
//! responses that are of no use in pieces, one after the other in the order of their requests; then those that share.

use crate::rules::priority::Priority;
use crate::transport::quic::streams::StreamId;

/// Above every request: for the streams that the connection needs.
pub const CRITICAL: i32 = i32::MAX;

/// Numbers that one urgency takes.
const SPAN: i32 = 1 << 28;

/// The number of the stream `id`; the higher goes first.
pub fn of_stream(id: StreamId, priority: Priority) -> i32 {
    let urgency = i32::from(7 - priority.urgency.min(7)) * SPAN;
    if priority.incremental {
        return urgency;
    }
    let request = i32::try_from(id.0 / 4).unwrap_or(i32::MAX).min(SPAN - 3);
    urgency + (SPAN - 2) - request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgency_then_kind_then_order_of_requests() {
        let number = |id, urgency, incremental| of_stream(StreamId(id), Priority { urgency, incremental });
        let order = [
            CRITICAL,
            number(u64::MAX >> 2, 0, false),
            number(0, 0, true),
            number(0, 3, false),
            number(4, 3, false),
            number(u64::MAX >> 2, 3, false),
            number(0, 3, true),
            number(0, 7, false),
            number(0, 7, true),
        ];
        assert!(order.is_sorted_by(|higher, lower| higher > lower), "{order:?}");
        assert_eq!(number(0, 3, true), number(400, 3, true));
    }
}
