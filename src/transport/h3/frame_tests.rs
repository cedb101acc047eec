use proptest::prelude::*;

use super::*;
use crate::transport::h3::tests::mock::frame as whole;

fn request_parts(pieces: impl IntoIterator<Item = Vec<u8>>, limit: usize) -> Result<Vec<RequestPart>, ConnectionError> {
    let mut frames = RequestFrames::new(limit);
    let mut parts = Vec::new();
    for piece in pieces {
        let mut input = Bytes::from(piece);
        while let Some(part) = frames.next(&mut input)? {
            match (part, parts.last_mut()) {
                (RequestPart::HeadTooLarge, _) => return Ok(parts),
                (RequestPart::Data(piece), Some(RequestPart::Data(before))) => {
                    *before = [&before[..], &piece[..]].concat().into();
                }
                (part, _) => parts.push(part),
            }
        }
        assert!(input.is_empty());
    }
    frames.end()?;
    Ok(parts)
}

#[test]
fn integers_are_those_of_rfc_9000_appendix_a_1() {
    for (octets, value) in [
        (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
        (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
        (&[0x7b, 0xbd], 15_293),
        (&[0x25], 37),
    ] {
        assert_eq!(varint(&mut &octets[..]), Some(value));
        let mut out = Vec::new();
        put_varint(value, &mut out);
        assert_eq!(out, octets);
        assert_eq!(varint(&mut &octets[..octets.len() - 1]), None);
    }
    assert_eq!(varint(&mut &[0x40, 0x25][..]), Some(37));
}

#[test]
fn a_head_beyond_the_bound_is_refused_by_its_length() {
    let mut announced = Vec::new();
    put_head(kind::HEADERS, 2 << 30, &mut announced);
    let mut frames = RequestFrames::new(32 << 10);
    assert_eq!(frames.next(&mut announced.into()), Ok(Some(RequestPart::HeadTooLarge)));
}

#[test]
fn a_stream_may_end_between_frames_only() {
    let message = [whole(kind::HEADERS, b"h"), whole(kind::DATA, b"body"), whole(0x21, b"x")].concat();
    let boundaries = [0, 3, 9, message.len()];
    for end in 0..=message.len() {
        let result = request_parts([message[..end].to_vec()], 100);
        match boundaries.contains(&end) {
            true => assert!(result.is_ok(), "{end}"),
            false => assert_eq!(result.unwrap_err().code, code::FRAME_ERROR, "{end}"),
        }
    }
}

proptest! {
    #[test]
    fn frames_read_the_same_however_they_are_cut(
        body in proptest::collection::vec(any::<u8>(), 0..50),
        unknown in proptest::collection::vec(any::<u8>(), 0..50),
        cuts in proptest::collection::vec(1usize..10, 1..60),
    ) {
        let message = [
            whole(0x1f * 7 + 0x21, &unknown),
            whole(kind::HEADERS, b"the head"),
            whole(kind::DATA, &body),
            whole(0xface, &unknown),
            whole(kind::HEADERS, b"trailers"),
        ].concat();
        let mut pieces = Vec::new();
        let mut rest = &message[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, left) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = left;
        }
        prop_assert_eq!(request_parts(pieces, 100), request_parts([message], 100));
    }

    #[test]
    fn any_octets_give_parts_or_an_error(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..10)) {
        let _ = request_parts(pieces.clone(), 64);
        let mut frames = ControlFrames::default();
        for piece in pieces {
            let mut input = Bytes::from(piece);
            while let Ok(Some(_)) = frames.next(&mut input) {}
        }
    }
}
