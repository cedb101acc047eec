//! The other nodes of the region, asked before an origin is: what many may share is fetched once for all of them.
//!
//! An object's owner is the heaviest member by rendezvous hashing among those that live. Only members that weigh more
//! than this node are asked, under the name by which they know themselves, so that nobody ever waits in a circle,
//! whatever the lists say. One that cannot answer costs one further question, then the node asks the origin itself.
//! Members rest after failures like origins do; an answer of an origin's failure is no failure of the member.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use smallvec::SmallVec;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::{self, HostHeader, Limits, Members, OriginScheme, OriginTls, Proof};
use crate::outbound::tls::TlsSetupError;
use crate::region::proof::{BUSY, WEIR_PEER};
use crate::rules::caching::Key;
use crate::rules::upstream::health::Standing;
use crate::rules::upstream::rendezvous::{self, Print};
use crate::tasks::Tasks;

use super::{Answer, Ask, Course, FetchError, OriginFigures, OriginSetupError, Upstream, Wait, fetch};

/// Members that are asked for one object, at most: the owner, and the next after its loss.
const MOST_ASKED: usize = 2;
/// Members of a region, at most.
const MOST_MEMBERS: usize = 256;
/// Connections to one member, and requests in flight to it: each may hold a reload of every rendition.
const CONNECTIONS: usize = 512;
const REQUESTS: usize = 4_096;

/// How other nodes are asked for an object that many may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// What viewers call the edge.
    pub host: String,
    /// Path and query as viewers ask for them.
    pub target: PathAndQuery,
    /// The print of its key.
    pub key: Print,
    /// The print by which its owner is found.
    pub owner: Print,
}

impl Shared {
    /// The object of a key, which viewers of `host` know as `target`; `None`: that cannot be written.
    pub fn of(key: &Key, host: &str, target: &str) -> Option<Self> {
        let target = PathAndQuery::try_from(target).ok()?;
        let owner = Print::of_ownership(key.as_str());
        Some(Self { host: host.to_owned(), target, key: Print::of(key.as_str()), owner })
    }

    /// The same object, asked for with another query.
    #[must_use]
    pub fn with_target(&self, target: PathAndQuery) -> Self {
        Self { target, ..self.clone() }
    }
}

/// A question to the region: what an origin would be asked, under the names that viewers use.
pub(super) struct Question<'a> {
    method: Method,
    headers: HeaderMap,
    first_byte: Option<Duration>,
    shared: &'a Shared,
}

impl<'a> Question<'a> {
    /// What `ask` asks, without its body.
    pub fn of(ask: &Ask, shared: &'a Shared) -> Self {
        Self { method: ask.method.clone(), headers: ask.headers.clone(), first_byte: ask.first_byte, shared }
    }

    fn ask(&self) -> Ask {
        Ask {
            method: self.method.clone(),
            path_and_query: self.shared.target.clone(),
            headers: self.headers.clone(),
            viewer_authority: Some(self.shared.host.clone()),
            body: None,
            first_byte: self.first_byte,
            course: Course::default(),
        }
    }
}

/// What became of a question that a peer could have answered, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerResult {
    /// The owner's answer, whatever it was.
    Answered,
    /// This node is the owner, among those that live: its origin is asked.
    Own,
    /// The member could not be reached, broke off or was silent.
    Failed,
    /// The member had no place for it.
    Busy,
    /// The member does not know itself or the object by what was asked: the configurations differ.
    Disagreed,
    /// The rest was asked for of a body that a member broke off; who sends it counts beside.
    Resumed,
}

impl PeerResult {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Answered, Self::Own, Self::Failed, Self::Busy, Self::Disagreed, Self::Resumed];

    /// Its label.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Own => "own",
            Self::Failed => "failed",
            Self::Busy => "busy",
            Self::Disagreed => "disagreed",
            Self::Resumed => "resumed",
        }
    }
}

/// The other nodes of the region.
pub struct Peers {
    config: config::Peers,
    limits: Limits,
    clock: Clock,
    own: Option<Print>,
    others: ArcSwap<Vec<Member>>,
    results: [AtomicU64; PeerResult::ALL.len()],
}

#[derive(Clone)]
struct Member {
    name: Arc<str>,
    print: Print,
    upstream: Arc<Upstream>,
}

/// The region as it is now.
#[derive(Clone, Debug)]
pub struct PeerFigures {
    /// Every other member.
    pub members: Vec<OriginFigures>,
    /// How often what came to pass.
    pub results: [(PeerResult, u64); PeerResult::ALL.len()],
}

/// Who of the region is asked for an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This node.
    Own,
    /// That one.
    Peer(Arc<str>),
}

/// Whether an answer came from another node: no origin's name holds a space.
pub(super) fn is_peer(name: &str) -> bool {
    name.starts_with("peer ")
}

impl Peers {
    /// The members that are listed; named ones come with [`Peers::keep`]. Reads certificate files: not for a worker's
    /// thread.
    ///
    /// # Errors
    /// Where their TLS cannot be set up.
    pub fn new(config: &config::Peers, limits: &Limits, clock: Clock) -> Result<Arc<Self>, OriginSetupError> {
        let peers = Self {
            config: config.clone(),
            limits: limits.clone(),
            clock,
            own: config.own.as_deref().map(Print::of),
            others: ArcSwap::default(),
            results: Default::default(),
        };
        peers.follow(config)?;
        Ok(Arc::new(peers))
    }

    /// Takes on another list of members; those that stay keep their connections and their health.
    ///
    /// # Errors
    /// As [`Peers::new`]; nothing changes then.
    pub fn follow(&self, config: &config::Peers) -> Result<(), OriginSetupError> {
        match &config.members {
            Members::Listed(names) => self.set(names),
            Members::Nobody | Members::Named { .. } => Ok(()),
        }
    }

    fn set(&self, names: &[String]) -> Result<(), OriginSetupError> {
        let before = self.others.load();
        let others = names.iter().filter(|name| Some(*name) != self.config.own.as_ref()).take(MOST_MEMBERS);
        let member = |name: &String| match before.iter().find(|member| *member.name == **name) {
            Some(known) => Ok(known.clone()),
            None => self.member(name).map_err(|source| OriginSetupError { origin: format!("peer {name}"), source }),
        };
        let members = others.map(member).collect::<Result<Vec<_>, _>>()?;
        let names = |members: &[Member]| members.iter().map(|member| member.name.clone()).collect::<Vec<_>>();
        if names(&members) != names(&before) {
            info!(peers = names(&members).join(", "), "the region's other nodes");
            self.others.store(Arc::new(members));
        }
        Ok(())
    }

    fn member(&self, name: &str) -> Result<Member, TlsSetupError> {
        let (host, port) = name.rsplit_once(':').expect("a checked configuration names ports");
        let tls = self.config.tls.as_ref();
        let origin = config::Origin {
            health: None,
            aws: None,
            missing: Vec::new(),
            redirects: 0,
            cookies: false,
            name: format!("peer {name}"),
            scheme: if tls.is_some() { OriginScheme::Https } else { OriginScheme::Http },
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: port.parse().expect("a checked configuration names ports"),
            base_path: String::new(),
            host_header: HostHeader::Viewer,
            set_headers: Vec::new(),
            remove_headers: Vec::new(),
            tls: tls.map_or_else(OriginTls::default, |tls| OriginTls {
                ca: Some(tls.ca.clone()),
                client: Some(tls.own.clone()),
                sni: tls.name.clone(),
            }),
            connect: self.config.connect,
            first_byte: self.config.first_byte,
            idle: self.config.first_byte,
            connections: CONNECTIONS,
            requests: REQUESTS,
            proof: Some(Proof { secret: self.config.secret.clone(), to: Some(name.to_owned()) }),
        };
        let upstream = Upstream::new(&origin, &self.limits, &self.clock, None)?;
        Ok(Member { name: name.into(), print: Print::of(name), upstream })
    }

    /// Follows the addresses of the name of the region, for as long as it is polled. Completes at once where none is
    /// configured. What cannot be resolved leaves the members as they are.
    pub async fn keep(self: Arc<Self>) {
        let Members::Named { host, port } = &self.config.members else { return };
        loop {
            match tokio::net::lookup_host((host.as_str(), *port)).await {
                Ok(addresses) => {
                    let mut names: Vec<_> = addresses.take(MOST_MEMBERS).map(|address| address.to_string()).collect();
                    names.sort();
                    names.dedup();
                    if let Err(error) = self.set(&names) {
                        warn!(%error, "a peer cannot be set up");
                    }
                }
                Err(error) => warn!(name = host, %error, "the region's name cannot be resolved"),
            }
            self.clock.sleep(self.config.refresh).await;
        }
    }

    /// The members that would be asked for an object, in this order; they all weigh more than this node.
    fn heavier(&self, owner: Print) -> SmallVec<[Member; 4]> {
        let Some(own) = self.own else { return SmallVec::new() };
        let others = self.others.load();
        let prints = others.iter().map(|member| member.print).chain([own]);
        let order = rendezvous::order(prints, owner);
        order.into_iter().map_while(|index| others.get(index).cloned()).collect()
    }

    /// Who is asked for the object of a key, as far as is known who lives.
    pub fn owner(&self, key: &Key) -> Owner {
        let now = self.clock.now();
        let heavier = self.heavier(Print::of_ownership(key.as_str()));
        let first = heavier.iter().find(|member| !matches!(member.upstream.memory.standing(now), Standing::Resting(_)));
        first.map_or(Owner::Own, |member| Owner::Peer(member.name.clone()))
    }

    /// Asks the object's owner, after its loss the next one; `None`: this node is to ask the origin. `avoided` is a
    /// member that has just failed.
    pub(super) async fn ask(&self, tasks: &Tasks, question: &Question<'_>, avoided: Option<&str>) -> Option<Answer> {
        if avoided.is_some() {
            self.count(PeerResult::Resumed);
        }
        let heavier = self.heavier(question.shared.owner);
        let living = heavier.iter().filter(|member| Some(&*member.upstream.name) != avoided);
        let mut asked = 0;
        for member in living {
            if asked == MOST_ASKED {
                break;
            }
            if matches!(member.upstream.memory.claimed(self.clock.now()).0, Standing::Resting(_)) {
                continue;
            }
            asked += 1;
            let outcome = fetch::once(tasks, &member.upstream, question.ask(), question.shared.key).await;
            match self.judged(member, question, outcome) {
                Ok(answer) => {
                    self.count(PeerResult::Answered);
                    return Some(answer);
                }
                Err(result) => self.count(result),
            }
        }
        self.count(PeerResult::Own);
        None
    }

    /// An answer that may be passed on, or why another one is asked.
    fn judged(
        &self,
        member: &Member,
        question: &Question<'_>,
        outcome: Result<Answer, FetchError>,
    ) -> Result<Answer, PeerResult> {
        let (name, memory) = (&*member.name, &member.upstream.memory);
        match outcome {
            Ok(answer) => {
                memory.succeeded(self.clock.now());
                match answer.headers.get(WEIR_PEER) {
                    None => Ok(answer),
                    Some(word) if word == BUSY => Err(PeerResult::Busy),
                    Some(_) => {
                        warn!(peer = name, status = answer.status.as_u16(), "a peer does not accept what it is asked");
                        Err(PeerResult::Disagreed)
                    }
                }
            }
            Err(error) => {
                let is_silent = matches!(error, FetchError::Timeout { which: Wait::FirstByte, .. });
                // One that holds a reload and has nothing new says nothing of anything else.
                if let Some(class) = error.class().filter(|_| !(question.first_byte.is_some() && is_silent)) {
                    memory.failed(self.clock.now(), class);
                }
                warn!(peer = name, cause = %error, "a peer was asked in vain");
                Err(PeerResult::Failed)
            }
        }
    }

    fn count(&self, result: PeerResult) {
        self.results[result as usize].fetch_add(1, Relaxed);
    }

    /// The region as it is now.
    pub fn figures(&self) -> PeerFigures {
        let now = self.clock.now();
        let members = self.others.load().iter().map(|member| member.upstream.snapshot(now)).collect();
        let results = PeerResult::ALL.map(|result| (result, self.results[result as usize].load(Relaxed)));
        PeerFigures { members, results }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::rules::upstream::health::Class;

    fn region(names: &[&str]) -> config::Peers {
        config::Peers {
            own: Some("10.0.0.1:1".to_owned()),
            members: Members::Listed(names.iter().map(|name| (*name).to_owned()).collect()),
            secret: Some(config::Secret::from("a secret of the region".to_owned())),
            tls: None,
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(6),
            refresh: Duration::from_secs(10),
        }
    }

    fn peers(names: &[&str], clock: &Clock) -> Arc<Peers> {
        Peers::new(&region(names), &Limits::default(), clock.clone()).unwrap()
    }

    fn key(index: usize) -> Key {
        Key::new("main", "http", "origin.example", &format!("/x{index}"))
    }

    #[test]
    fn whoever_rests_owns_nothing_until_it_is_tried_again() {
        let clock = Clock::manual(WallTime::default());
        let peers = peers(&["10.0.0.1:1", "10.0.0.2:1"], &clock);
        let theirs = (0..).map(key).find(|key| peers.owner(key) != Owner::Own).unwrap();
        assert_eq!(peers.owner(&theirs), Owner::Peer("10.0.0.2:1".into()));
        let other = peers.others.load()[0].clone();
        (0..3).for_each(|_| other.upstream.memory.failed(clock.now(), Class::Connect));
        assert_eq!(peers.owner(&theirs), Owner::Own);
        clock.advance(Duration::from_secs(40));
        assert_eq!(peers.owner(&theirs), Owner::Peer("10.0.0.2:1".into()));
    }

    #[test]
    fn members_that_stay_keep_their_connections_and_their_health() {
        let clock = Clock::manual(WallTime::default());
        let peers = peers(&["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"], &clock);
        let before = peers.others.load_full();
        peers.follow(&region(&["10.0.0.3:1", "10.0.0.1:1", "10.0.0.4:1"])).unwrap();
        let after = peers.others.load_full();
        assert_eq!(after.iter().map(|member| &*member.name).collect::<Vec<_>>(), ["10.0.0.3:1", "10.0.0.4:1"]);
        assert!(Arc::ptr_eq(&before[1].upstream, &after[0].upstream));
    }

    #[test]
    fn only_those_who_weigh_more_than_this_node_are_asked() {
        let clock = Clock::manual(WallTime::default());
        let peers = peers(&["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"], &clock);
        let own = Print::of("10.0.0.1:1");
        for index in 0..200 {
            let owner = Print::of_ownership(key(index).as_str());
            let weights = |member: &Member| rendezvous::weight(member.print, owner);
            let heavier = peers.heavier(owner);
            assert!(heavier.iter().all(|member| weights(member) > rendezvous::weight(own, owner)));
            assert!(heavier.is_sorted_by_key(|member| std::cmp::Reverse(weights(member))));
        }
    }

    #[tokio::test]
    async fn the_addresses_of_a_name_are_the_region() {
        let clock = Clock::manual(WallTime::default());
        let named =
            config::Peers { members: Members::Named { host: "127.0.0.1".to_owned(), port: 9_443 }, ..region(&[]) };
        let peers = Peers::new(&named, &Limits::default(), clock.clone()).unwrap();
        assert_eq!(peers.figures().members.len(), 0);
        let mut keeping = std::pin::pin!(peers.clone().keep());
        std::future::poll_fn(|cx| {
            assert!(keeping.as_mut().poll(cx).is_pending());
            if peers.others.load().is_empty() { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
        })
        .await;
        assert_eq!(&*peers.others.load()[0].name, "127.0.0.1:9443");
    }
}
