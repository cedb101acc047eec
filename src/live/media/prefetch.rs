//! What is hinted is asked for before it exists, once, as a fill that viewers join.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::VIA;
use parking_lot::Mutex;

use crate::cache::{FillReader, Flight, Lead, Lookup, Object};
use crate::clock::Tick;
use crate::live::Asked;
use crate::origin::pump::{Fetching, Pump, Terms};
use crate::origin::{Concern, Interims};
use crate::rules::caching::Key;
use crate::rules::caching::storable::SetCookie;
use crate::rules::fields::loops::CDN_LOOP;

use super::feed::Hinted;
use super::growing::Grower;
use super::names::Fingerprint;
use super::{Kind, Media, Named, Source};

/// What nobody has asked for after so long is wasted.
const UNREAD: Duration = Duration::from_secs(30);

/// Prefetches remembered until somebody asks for them; beyond, nothing is counted as waste.
const MOST_UNREAD: usize = 65_536;

/// Why something is fetched.
enum Purpose {
    Prefetch,
    /// Somebody asks, and there may be something stale.
    Viewer(Option<Arc<Object>>),
}

/// How often what is over is looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// Octets that were prefetched and that nobody has asked for yet.
#[derive(Default)]
pub(super) struct Unread(Mutex<Waste>);

#[derive(Default)]
struct Waste {
    unread: HashMap<Fingerprint, (u64, Tick)>,
    swept: Tick,
}

impl Unread {
    /// What is over at `now` is taken out: so many octets were wasted.
    fn add(&self, print: Fingerprint, octets: u64, now: Tick) -> u64 {
        let mut waste = self.0.lock();
        let mut wasted = 0;
        if now.since(waste.swept) >= SWEEP {
            waste.swept = now;
            let over = waste.unread.extract_if(|_, (_, until)| *until <= now);
            wasted = over.map(|(_, (octets, _))| octets).sum();
        }
        if waste.unread.len() < MOST_UNREAD {
            waste.unread.insert(print, (octets, now + UNREAD));
        }
        wasted
    }

    pub fn read(&self, print: Fingerprint) {
        self.0.lock().unread.remove(&print);
    }
}

impl Media {
    /// Asks for what was hinted, unless somebody does so already.
    pub(super) fn prefetch(self: &Arc<Self>, asked: &Asked, hinted: Hinted) {
        let Hinted { print, located, target } = hinted;
        let Some(named) = self.known(print, &located.key) else { return };
        if named.kind == Kind::DecryptionKey || !self.cache.is_at_ease(&named.key) {
            return;
        }
        let now = self.clock.now();
        let lead = match self.cache.lookup(&named.key, &HeaderMap::new(), |stored| named.freshness(stored, now)) {
            Lookup::Lead(lead) | Lookup::Stale { flight: Flight::Lead(lead), .. } => lead,
            Lookup::Hit(..) | Lookup::Join(_) | Lookup::Apart | Lookup::Refused(_) | Lookup::Stale { .. } => return,
        };
        self.names.prefetched(print);
        let supply = &asked.rules.supply;
        let source = Source {
            shared: supply.shared(&located.key, &target, asked.viewer_authority.as_deref()),
            group: supply.order(&located.upstream),
            places: supply.origins.clone(),
            target: located.upstream,
            fields: asked.fields.clone(),
            viewer_authority: asked.viewer_authority.clone(),
            errors: asked.rules.errors.clone(),
            concern: Some(Concern::of(&asked.rules.route, &target)),
        };
        self.begin(lead, (&named, print), source, Purpose::Prefetch);
    }

    /// Fetches what the caller was given the lead of.
    pub fn fetch(
        self: &Arc<Self>,
        lead: Lead,
        named: &Named,
        source: Source,
        validates: Option<Arc<Object>>,
    ) -> FillReader {
        let print = self.names.fingerprint(&named.name);
        self.begin(lead, (named, print), source, Purpose::Viewer(validates))
    }

    fn begin(
        self: &Arc<Self>,
        lead: Lead,
        (named, print): (&Named, Fingerprint),
        source: Source,
        purpose: Purpose,
    ) -> FillReader {
        let (mut writer, reader) = lead.start();
        if let Some(until) = named.near_until {
            writer.keep_near(until);
        }
        let on_disk = named.clone();
        writer.judge_by(move |stored, now| on_disk.freshness(stored, now));
        let (validates, is_prefetch) = match purpose {
            Purpose::Prefetch => (None, true),
            Purpose::Viewer(validates) => (validates, false),
        };
        // Nothing that differs between viewers, so that what comes fits them all.
        let fields = source.fields.iter().filter(|(name, _)| [VIA, CDN_LOOP].contains(name));
        let fields = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        let naming = self.naming(print, &source);
        let fetching = Fetching {
            origins: self.origins.load_full(),
            group: source.group,
            target: source.target,
            fields,
            unvaried: [].into(),
            cookies: SetCookie::Strip,
            siblings: Vec::new(),
            interims: Interims::default(),
            viewer_authority: source.viewer_authority,
            validates,
            terms: Terms::Media(self.promises.find(print)),
            errors: source.errors,
            shared: source.shared,
            naming,
            concern: source.concern,
        };
        let tasks = self.home(print).clone();
        let (clock, media, key) = (self.clock.clone(), self.clone(), named.key.clone());
        let growth = self.growths.find(print).filter(|_| named.kind == Kind::Growing);
        let worker = tasks.clone();
        tasks.spawn("media-fill", async move {
            match growth {
                Some(growth) => {
                    Grower { fetching, growth, clock, tasks: worker }.run(writer).await;
                    media.grown(&key);
                }
                None => Pump::new(fetching, clock, worker).run(writer).await,
            }
            if is_prefetch {
                media.prefetched(print, &key);
            }
        });
        reader
    }

    fn grown(&self, key: &Key) {
        if self.cache.peek(key, &HeaderMap::new()).is_some() {
            self.figures.grown.add(1);
        }
    }

    /// A prefetch has come to its end.
    fn prefetched(&self, print: Fingerprint, key: &Key) {
        let Some(object) = self.cache.peek(key, &HeaderMap::new()) else { return self.figures.failed.add(1) };
        self.figures.prefetched.add(1);
        self.figures.octets.add(object.length());
        let known = self.names.find(print, self.clock.now());
        if known.is_some_and(|known| known.marks.is_unread()) {
            self.figures.wasted.add(self.unread.add(print, object.length(), self.clock.now()));
        }
    }
}
