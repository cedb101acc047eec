//! The Huffman code of HPACK and QPACK (RFC 7541 Appendix B). The code is canonical, so the lengths say all: shorter
//! codes come first, equal lengths in the order of the symbols. Codes and the decoder's table (a state machine over
//! half octets) are made from them when compiling.

/// Code length in bits by symbol; 256 is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

/// The end-of-string symbol, never sent whole (§5.2).
const EOS: usize = 256;
const LONGEST: u8 = 30;

/// A code is whole: `symbol` is one.
const EMIT: u8 = 1;
/// No string reads so.
const FAIL: u8 = 2;
/// A string may end here: at most seven bits, all ones, since the last symbol.
const ACCEPT: u8 = 4;

#[derive(Clone, Copy)]
struct Step {
    next: u8,
    symbol: u8,
    flags: u8,
}

const CODES: [u32; 257] = codes();
static STEPS: [[Step; 16]; 256] = steps();

const fn codes() -> [u32; 257] {
    let mut codes = [0; 257];
    let mut code = 0u32;
    let mut length = 1;
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol <= EOS {
            if LENGTHS[symbol] == length {
                codes[symbol] = code;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    codes
}

/// The inner nodes of the code tree: a child is an inner node (its number) or a leaf (`LEAF` + symbol).
const LEAF: u16 = 0x1000;
const UNSET: u16 = u16::MAX;

const fn tree() -> [[u16; 2]; 256] {
    let mut nodes = [[UNSET; 2]; 256];
    let mut used = 1;
    let mut symbol = 0;
    while symbol <= EOS {
        let mut at = 0;
        let mut left = LENGTHS[symbol];
        while left > 1 {
            left -= 1;
            let bit = ((CODES[symbol] >> left) & 1) as usize;
            if nodes[at][bit] == UNSET {
                nodes[at][bit] = used;
                used += 1;
            }
            at = nodes[at][bit] as usize;
        }
        nodes[at][(CODES[symbol] & 1) as usize] = LEAF + symbol as u16;
        symbol += 1;
    }
    nodes
}

/// The nodes that at most seven ones lead to, and the root.
const fn accepting(nodes: &[[u16; 2]; 256]) -> [bool; 256] {
    let mut accepting = [false; 256];
    let mut at = 0;
    let mut ones = 0;
    while ones <= 7 {
        accepting[at] = true;
        at = nodes[at][1] as usize;
        ones += 1;
    }
    accepting
}

const fn steps() -> [[Step; 16]; 256] {
    let nodes = tree();
    let accepting = accepting(&nodes);
    let mut steps = [[Step { next: 0, symbol: 0, flags: 0 }; 16]; 256];
    let mut state = 0;
    while state < 256 {
        let mut nibble = 0;
        while nibble < 16 {
            steps[state][nibble] = step(&nodes, &accepting, (state, nibble));
            nibble += 1;
        }
        state += 1;
    }
    steps
}

const fn step(nodes: &[[u16; 2]; 256], accepting: &[bool; 256], (state, nibble): (usize, usize)) -> Step {
    let mut step = Step { next: 0, symbol: 0, flags: 0 };
    let mut at = state;
    let mut bit = 4;
    while bit > 0 {
        bit -= 1;
        let child = nodes[at][(nibble >> bit) & 1];
        if child == LEAF + EOS as u16 {
            step.flags = FAIL;
            return step;
        }
        if child >= LEAF {
            step.symbol = (child - LEAF) as u8;
            step.flags |= EMIT;
            at = 0;
        } else {
            at = child as usize;
        }
    }
    step.next = at as u8;
    if accepting[at] {
        step.flags |= ACCEPT;
    }
    step
}

/// The string is not Huffman coded as §5.2 says: EOS inside, padding of other bits than ones or of more than seven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Huffman code of a string is broken")]
pub struct Broken;

/// Decodes `coded` to the end of `out`.
///
/// # Errors
/// The code is broken. `out` is then to be thrown away.
pub fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    out.reserve(coded.len() * 8 / 5);
    let mut at = Step { next: 0, symbol: 0, flags: ACCEPT };
    for octet in coded {
        for nibble in [octet >> 4, octet & 0xf] {
            at = STEPS[usize::from(at.next)][usize::from(nibble)];
            if at.flags & EMIT != 0 {
                out.push(at.symbol);
            }
            if at.flags & FAIL != 0 {
                return Err(Broken);
            }
        }
    }
    if at.flags & ACCEPT == 0 { Err(Broken) } else { Ok(()) }
}

/// How many octets `plain` takes when coded.
pub fn encoded_len(plain: &[u8]) -> usize {
    plain.iter().map(|octet| usize::from(LENGTHS[usize::from(*octet)])).sum::<usize>().div_ceil(8)
}

/// Encodes `plain` to the end of `out`.
pub fn encode(plain: &[u8], out: &mut Vec<u8>) {
    let mut bits = 0u64;
    let mut held = 0;
    for octet in plain {
        let symbol = usize::from(*octet);
        bits = bits << LENGTHS[symbol] | u64::from(CODES[symbol]);
        held += u32::from(LENGTHS[symbol]);
        while held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    if held > 0 {
        let padding = 8 - held;
        out.push((bits << padding) as u8 | ((1u16 << padding) - 1) as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn the_codes_are_those_of_rfc_7541_appendix_b() {
        for (symbol, code, length) in [
            (0, 0x1ff8, 13),
            (10, 0x3fff_fffc, 30),
            (b'0' as usize, 0x0, 5),
            (b'a' as usize, 0x3, 5),
            (b'z' as usize, 0x7b, 7),
            (b'~' as usize, 0x1ffd, 13),
            (127, 0x0fff_fffc, 28),
            (249, 0x0fff_fffe, 28),
            (255, 0x03ff_ffee, 26),
            (EOS, 0x3fff_ffff, 30),
        ] {
            assert_eq!((CODES[symbol], LENGTHS[symbol]), (code, length), "{symbol}");
        }
    }

    #[test]
    fn the_strings_of_rfc_7541_appendix_c_read_as_written_there() {
        for (coded, plain) in [
            ("f1e3 c2e5 f23a 6ba0 ab90 f4ff", "www.example.com"),
            ("a8eb 1064 9cbf", "no-cache"),
            ("25a8 49e9 5ba9 7d7f", "custom-key"),
            ("25a8 49e9 5bb8 e8b4 bf", "custom-value"),
            ("6402", "302"),
            ("640e ff", "307"),
            ("aec3 771a 4b", "private"),
            ("d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff", "Mon, 21 Oct 2013 20:13:22 GMT"),
            ("9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3", "https://www.example.com"),
            ("9bd9 ab", "gzip"),
            (
                "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
        ] {
            let mut out = Vec::new();
            decode(&bytes(coded), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), plain);
            let mut out = Vec::new();
            encode(plain.as_bytes(), &mut out);
            assert_eq!(out, bytes(coded));
            assert_eq!(encoded_len(plain.as_bytes()), out.len());
        }
    }

    #[test]
    fn padding_that_is_no_prefix_of_eos_or_too_long_and_eos_itself_are_refused() {
        // '0' is 00000; then: zeros, eight ones, EOS whole, an unfinished long code.
        for coded in ["00", "07ff", "ff", "ffff ffff", "ffff fffc", "fffe"] {
            assert_eq!(decode(&bytes(coded), &mut Vec::new()), Err(Broken), "{coded}");
        }
        for coded in ["", "07", "1f"] {
            assert_eq!(decode(&bytes(coded), &mut Vec::new()), Ok(()), "{coded}");
        }
    }

    proptest! {
        #[test]
        fn every_string_comes_back(plain in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut coded = Vec::new();
            encode(&plain, &mut coded);
            prop_assert_eq!(coded.len(), encoded_len(&plain));
            let mut back = Vec::new();
            prop_assert_eq!(decode(&coded, &mut back), Ok(()));
            prop_assert_eq!(back, plain);
        }

        #[test]
        fn any_octets_decode_to_at_most_eight_fifths_of_their_length(coded in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            if decode(&coded, &mut out).is_ok() {
                prop_assert!(out.len() <= coded.len() * 8 / 5);
            }
        }
    }
}
