//! The keys that QUIC shares between workers, nodes and restarts: for stateless resets, and for the tokens that validate
//! addresses. Both are derived from one secret (RFC 5869), so that a packet or token of a former process is understood.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::{hmac, rand};
use quinn_proto::BloomTokenLog;

/// Memory for tokens that were used already, in octets, and how many are expected in a token's life.
const TOKEN_LOG: (usize, u64) = (1 << 20, 1_000_000);

/// The secret that the keys come from.
#[derive(Clone)]
pub struct QuicKeys {
    /// 256 unpredictable bits, the same in all that share them.
    pub master: [u8; 32],
}

impl QuicKeys {
    /// A secret for this process alone: resets and tokens do not outlive it.
    pub fn random() -> Self {
        let mut master = [0; 32];
        rand::fill(&mut master).expect("the system has random numbers");
        Self { master }
    }
}

impl fmt::Debug for QuicKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("QuicKeys")
    }
}

/// The derived keys, and the memory of tokens that were used: one for all workers of a node.
#[derive(Clone)]
pub struct SharedKeys {
    pub(super) reset: Arc<hmac::Key>,
    pub(super) token: Arc<Prk>,
    pub(super) used_tokens: Arc<BloomTokenLog>,
}

impl SharedKeys {
    /// Derives them.
    pub fn new(keys: &QuicKeys) -> Self {
        let secret = Salt::new(HKDF_SHA256, b"weir quic").extract(&keys.master);
        let reset = secret.expand(&[b"stateless reset"], hmac::HMAC_SHA256);
        let token = secret.expand(&[b"address token"], HKDF_SHA256);
        Self {
            reset: Arc::new(reset.expect("32 octets are not too many for HKDF").into()),
            token: Arc::new(token.expect("32 octets are not too many for HKDF").into()),
            used_tokens: Arc::new(BloomTokenLog::new_expected_items(TOKEN_LOG.0, TOKEN_LOG.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_gives_the_same_keys_again_and_another_secret_others() {
        let signature = |keys: &QuicKeys| hmac::sign(&SharedKeys::new(keys).reset, b"cid").as_ref().to_vec();
        let keys = QuicKeys::random();
        assert_eq!(signature(&keys), signature(&keys));
        assert_ne!(signature(&keys), signature(&QuicKeys::random()));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", QuicKeys::random()), "QuicKeys");
    }
}
