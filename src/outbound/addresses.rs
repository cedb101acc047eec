//! The addresses of one name: resolved anew in the background, the last good ones kept while resolving fails, those that
//! took no connection tried last.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Clock, Tick};

/// Addresses of one name that are known, at most.
pub const ADDRESSES: usize = 8;
/// A name is resolved anew this often: getaddrinfo does not say for how long an answer holds.
pub const REFRESH: Duration = Duration::from_secs(30);
/// An address that took no connection is tried last for this long.
pub const BAD: Duration = Duration::from_mins(1);
/// How long a dial waits for a name that should have been resolved anew long ago, where an older answer is known.
const IMPATIENCE: Duration = Duration::from_millis(500);

/// What resolving comes to.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// How a name becomes addresses.
pub trait Resolve: Send + Sync {
    /// The addresses of `host`, with `port`.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// The addresses of one name.
pub struct Addresses {
    host: Arc<str>,
    port: u16,
    resolver: Arc<dyn Resolve>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// As the resolver ordered them.
    good: Vec<SocketAddr>,
    /// When they were resolved.
    at: Option<Tick>,
    bad: Vec<(SocketAddr, Tick)>,
}

impl Addresses {
    /// Nothing is known yet.
    pub fn new(host: &str, port: u16, resolver: Arc<dyn Resolve>) -> Arc<Self> {
        Arc::new(Self { host: host.into(), port, resolver, known: Mutex::default() })
    }

    /// The addresses in the order in which they are tried.
    ///
    /// # Errors
    /// Why the name has none, where none are known from before.
    pub async fn in_order(&self, clock: &Clock) -> io::Result<Vec<SocketAddr>> {
        if let Some(address) = self.literal() {
            return Ok(vec![address]);
        }
        let now = clock.now();
        let age = self.known.lock().at.map(|at| now.since(at));
        match age {
            None => _ = self.refresh(clock).await?,
            Some(age) if age >= REFRESH * 2 => {
                tokio::select! {
                    biased;
                    _ = self.refresh(clock) => {}
                    () = clock.sleep(IMPATIENCE) => {}
                }
            }
            Some(_) => {}
        }
        let known = self.known.lock();
        let is_bad = |address: &SocketAddr| known.bad.iter().any(|(bad, at)| bad == address && now < *at + BAD);
        Ok(interleaved(&known.good, is_bad))
    }

    /// Resolves the name; the addresses that it no longer has. Where that fails, those known from before stay.
    ///
    /// # Errors
    /// What the resolver said; no address counts as an error too.
    pub async fn refresh(&self, clock: &Clock) -> io::Result<Vec<SocketAddr>> {
        if self.literal().is_some() {
            return Ok(Vec::new());
        }
        let resolved = self.resolver.resolve(&self.host, self.port).await;
        let mut found = Vec::new();
        for address in resolved? {
            if found.len() < ADDRESSES && !found.contains(&address) {
                found.push(address);
            }
        }
        if found.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut known = self.known.lock();
        let before = std::mem::replace(&mut known.good, found);
        known.at = Some(clock.now());
        let Known { good, bad, .. } = &mut *known;
        bad.retain(|(address, _)| good.contains(address));
        Ok(before.into_iter().filter(|address| !good.contains(address)).collect())
    }

    /// An address took a connection.
    pub fn took(&self, address: SocketAddr) {
        self.known.lock().bad.retain(|(bad, _)| *bad != address);
    }

    /// An address took none.
    pub fn failed(&self, address: SocketAddr, now: Tick) {
        let bad = &mut self.known.lock().bad;
        bad.retain(|(bad, _)| *bad != address);
        if bad.len() < ADDRESSES {
            bad.push((address, now));
        }
    }

    /// The addresses that are known.
    pub fn all(&self) -> Vec<SocketAddr> {
        self.literal().map_or_else(|| self.known.lock().good.clone(), |address| vec![address])
    }

    fn literal(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, self.port))
    }
}

/// The families in turn, that of the first address first (RFC 8305 §4); the bad ones last, in the same way.
fn interleaved(addresses: &[SocketAddr], is_bad: impl Fn(&SocketAddr) -> bool) -> Vec<SocketAddr> {
    let (bad, good): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| is_bad(address));
    let in_turn = |addresses: Vec<SocketAddr>| {
        let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
        let (one, other): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
        let length = one.len().max(other.len());
        (0..length).flat_map(move |at| [one.get(at).copied(), other.get(at).copied()]).flatten().collect::<Vec<_>>()
    };
    let mut order = in_turn(good);
    order.extend(in_turn(bad));
    order
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::clock::WallTime;

    /// A resolver that says what it was told to say.
    #[derive(Default)]
    pub struct Told(pub Mutex<Option<Vec<SocketAddr>>>);

    impl Told {
        /// From now on these, or a failure.
        pub fn say(&self, addresses: Option<&[&str]>) {
            let parsed = addresses.map(|all| all.iter().map(|address| address.parse().unwrap()).collect());
            *self.0.lock() = parsed;
        }
    }

    impl Resolve for Told {
        fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Resolving<'a> {
            let said = self.0.lock().clone();
            Box::pin(async move { said.ok_or_else(|| io::ErrorKind::TimedOut.into()) })
        }
    }

    fn texts(addresses: &[SocketAddr]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn families_take_turns_and_bad_addresses_come_last() {
        let (clock, told) = (Clock::manual(WallTime::default()), Arc::new(Told::default()));
        told.say(Some(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.2:1"]));
        let addresses = Addresses::new("name.test", 1, told);
        let order = addresses.in_order(&clock).await.unwrap();
        assert_eq!(texts(&order), ["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"]);
        addresses.failed(order[0], clock.now());
        let order = addresses.in_order(&clock).await.unwrap();
        assert_eq!(texts(&order), ["[::2]:1", "10.0.0.1:1", "[::3]:1", "10.0.0.2:1", "[::1]:1"]);
        addresses.took(order[4]);
        assert_eq!(texts(&addresses.in_order(&clock).await.unwrap())[0], "[::1]:1");
    }

    #[tokio::test]
    async fn the_last_good_addresses_stay_while_resolving_fails() {
        let (clock, told) = (Clock::manual(WallTime::default()), Arc::new(Told::default()));
        let addresses = Addresses::new("name.test", 1, told.clone());
        assert!(addresses.in_order(&clock).await.is_err(), "nothing is known");
        told.say(Some(&["10.0.0.1:1", "10.0.0.2:1"]));
        addresses.in_order(&clock).await.unwrap();
        for said in [None, Some(&[][..])] {
            told.say(said);
            clock.advance(REFRESH * 3);
            assert!(addresses.refresh(&clock).await.is_err());
            assert_eq!(texts(&addresses.in_order(&clock).await.unwrap()), ["10.0.0.1:1", "10.0.0.2:1"]);
        }
        told.say(Some(&["10.0.0.2:1", "10.0.0.3:1"]));
        assert_eq!(texts(&addresses.refresh(&clock).await.unwrap()), ["10.0.0.1:1"], "that one is gone");
        assert_eq!(texts(&addresses.all()), ["10.0.0.2:1", "10.0.0.3:1"]);
    }

    #[tokio::test]
    async fn an_address_needs_no_resolver() {
        let clock = Clock::manual(WallTime::default());
        for (host, address) in [("127.0.0.1", "127.0.0.1:7"), ("::1", "[::1]:7")] {
            let addresses = Addresses::new(host, 7, Arc::new(Told::default()));
            assert_eq!(texts(&addresses.in_order(&clock).await.unwrap()), [address]);
        }
    }
}
