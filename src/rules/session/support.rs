//! What a viewer tells on the phone: a session's identifier in a few letters that are not mistaken for each other.

use super::SessionId;

/// Crockford's base 32: no I, L, O and U.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Forty bits of a session's identifier, as `XXXX-XXXX`.
pub fn support_code(session: &SessionId) -> String {
    let bits = session.0[..5].iter().fold(0_u64, |bits, octet| bits << 8 | u64::from(*octet));
    let letter = |at: u64| char::from(LETTERS[usize::try_from(bits >> (5 * at) & 31).expect("five bits")]);
    let half = |from: u64| (0..4).map(move |at| letter(from - at));
    half(7).chain(['-']).chain(half(3)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_short_and_of_its_session() {
        assert_eq!(support_code(&SessionId([0; 12])), "0000-0000");
        assert_eq!(support_code(&SessionId([255; 12])), "ZZZZ-ZZZZ");
        assert_eq!(support_code(&SessionId([0, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9])), "0000-0001");
        assert_eq!(support_code(&SessionId([0x08, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9])), "1000-0000");
    }
}
