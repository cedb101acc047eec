//! Session tickets of TLS that every node of the region takes, also after a restart: sealed with AES-256-GCM by a key that
//! is derived from the region's secret for one day.
//!
//! A key of yesterday still opens. Whoever steals the secret reads tickets of every day, but no session that a ticket
//! resumes under TLS 1.3, which has a key exchange of its own.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use crate::clock::Clock;

const DAY_SECONDS: u64 = 86_400;

/// Makes and opens tickets.
pub struct Tickets {
    secret: Prk,
    clock: Clock,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        AES_256_GCM.key_len()
    }
}

impl Tickets {
    /// Tickets of a region with this secret.
    pub fn new(secret: &[u8; 32], clock: Clock) -> Arc<Self> {
        Arc::new(Self { secret: Prk::new_less_safe(HKDF_SHA256, secret), clock })
    }

    fn today(&self) -> u64 {
        self.clock.wall().since_epoch().as_secs() / DAY_SECONDS
    }

    fn key(&self, day: u64) -> Option<LessSafeKey> {
        let mut octets = Zeroizing::new([0; 32]);
        let info = day.to_be_bytes();
        self.secret.expand(&[b"tls ticket", &info], Length).ok()?.fill(octets.as_mut()).ok()?;
        UnboundKey::new(&AES_256_GCM, octets.as_ref()).ok().map(LessSafeKey::new)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// As long as a key opens at least.
    fn lifetime(&self) -> u32 {
        DAY_SECONDS as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key(self.today())?.seal_in_place_append_tag(unique, Aad::empty(), &mut sealed).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = cipher.split_first_chunk::<NONCE_LEN>()?;
        let today = self.today();
        [today, today.saturating_sub(1)].into_iter().find_map(|day| {
            let mut opened = sealed.to_vec();
            let unique = Nonce::assume_unique_for_key(*nonce);
            let length = self.key(day)?.open_in_place(unique, Aad::empty(), &mut opened).ok()?.len();
            opened.truncate(length);
            Some(opened)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::WallTime;

    fn clock() -> Clock {
        Clock::manual(WallTime::at(Duration::from_secs(20_000 * DAY_SECONDS)))
    }

    #[test]
    fn a_ticket_of_one_node_is_taken_by_another_of_its_region_alone() {
        let ticket = Tickets::new(&[1; 32], clock()).encrypt(b"state").unwrap();
        assert_eq!(Tickets::new(&[1; 32], clock()).decrypt(&ticket).as_deref(), Some(&b"state"[..]));
        assert_eq!(Tickets::new(&[2; 32], clock()).decrypt(&ticket), None);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(Tickets::new(&[1; 32], clock()).decrypt(&changed), None, "{at}");
        }
        assert_eq!(Tickets::new(&[1; 32], clock()).decrypt(&ticket[..10]), None);
    }

    #[test]
    fn a_ticket_is_good_for_a_day_and_no_more_than_two() {
        let clock = clock();
        let tickets = Tickets::new(&[1; 32], clock.clone());
        clock.advance(Duration::from_secs(DAY_SECONDS - 1));
        let ticket = tickets.encrypt(b"state").unwrap();
        clock.advance(Duration::from_secs(DAY_SECONDS));
        assert!(tickets.decrypt(&ticket).is_some());
        clock.advance(Duration::from_secs(1));
        assert!(tickets.decrypt(&ticket).is_none());
    }
}
