//! What is on disk and what is on its way there, by key. Small, in memory, and accounted for; one lock, held for a few
//! lines. An object is in the index from the moment it is offered: first as what waits to be written, then by its place.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use http::HeaderMap;

use crate::cache::memory::{Charge, Kind, Memory};
use crate::cache::object::{Object, ResponseHead};
use crate::cache::purges::Removed;
use crate::rules::caching::{Key, Variant};

use super::record::Card;
use super::segment::Segment;

/// Variants kept of one key; the oldest goes.
const VARIANTS: usize = 32;

/// What an entry takes beside its key: card, place, its share of the tables.
const ENTRY: u64 = 320;

/// An object that waits to be written.
pub(super) struct Offer {
    pub card: Card,
    pub object: Arc<Object>,
    /// It was removed, or something newer took its place.
    void: AtomicBool,
}

impl Offer {
    pub fn is_void(&self) -> bool {
        self.void.load(Ordering::SeqCst)
    }
}

/// An object on disk.
#[derive(Clone)]
pub(super) struct Located {
    pub segment: Arc<Segment>,
    pub offset: u64,
    /// Octets of its region.
    pub region: u32,
    pub card: Arc<Card>,
}

struct Entry {
    located: Located,
    /// What of it was last brought to memory.
    promoted: Weak<ResponseHead>,
    _charge: Charge,
}

/// Where an object was found.
pub(super) enum Found {
    Waiting(Arc<Object>),
    OnDisk(Located),
}

#[derive(Default)]
struct Shelf {
    segment: Option<Arc<Segment>>,
    /// What was written to it; what has been removed meanwhile is still listed.
    records: Vec<(Key, u64)>,
}

/// The table of what is on disk. Its user holds the lock.
pub(super) struct Index {
    memory: Arc<Memory>,
    entries: HashMap<Key, Vec<Entry>, foldhash::quality::RandomState>,
    waiting: HashMap<Key, Vec<Arc<Offer>>, foldhash::quality::RandomState>,
    order: VecDeque<Arc<Offer>>,
    shelves: BTreeMap<u64, Shelf>,
    /// How often something was removed or replaced: who took an object out of memory before the last time keeps it out
    /// of here.
    pub changes: u64,
    pub last_number: u64,
    /// Octets that wait.
    pub queued: u64,
    pub objects: u64,
    pub bytes: u64,
    /// Octets of this index.
    pub weight: u64,
}

impl Index {
    pub fn new(memory: Arc<Memory>) -> Self {
        Self {
            memory,
            entries: HashMap::default(),
            waiting: HashMap::default(),
            order: VecDeque::new(),
            shelves: BTreeMap::new(),
            changes: 0,
            last_number: 0,
            queued: 0,
            objects: 0,
            bytes: 0,
            weight: 0,
        }
    }

    /// The keys of all that is on disk.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.entries.keys()
    }

    /// The newest object that fits the request, and that is not to be passed over.
    pub fn find(&self, key: &Key, request: &HeaderMap, pass_over: impl Fn(&Card) -> bool) -> Option<Found> {
        let fits = |card: &Card| card.variant.matches(request) && !pass_over(card);
        let mut waiting = self.waiting.get(key).into_iter().flatten().rev();
        if let Some(offer) = waiting.find(|offer| fits(&offer.card)) {
            return Some(Found::Waiting(offer.object.clone()));
        }
        let mut entries = self.entries.get(key)?.iter().rev();
        let entry = entries.find(|entry| fits(&entry.located.card))?;
        Some(Found::OnDisk(entry.located.clone()))
    }

    /// Whether this very response is on disk already, in one of the `young` last segments.
    pub fn has(&self, key: &Key, head: &Arc<ResponseHead>, young: usize) -> bool {
        let is_it = |entry: &&Entry| Weak::as_ptr(&entry.promoted) == Arc::as_ptr(head);
        let Some(entry) = self.entries.get(key).and_then(|entries| entries.iter().find(is_it)) else { return false };
        self.shelves.keys().rev().take(young).any(|number| *number == entry.located.segment.number)
    }

    /// It was brought to memory as `head`.
    pub fn promoted(&mut self, located: &Located, head: &Arc<ResponseHead>) {
        let entries = self.entries.get_mut(&located.card.key);
        let is_it = |entry: &&mut Entry| entry.located.card.number == located.card.number;
        if let Some(entry) = entries.and_then(|entries| entries.iter_mut().find(is_it)) {
            entry.promoted = Arc::downgrade(head);
        }
    }

    /// Takes an object in that will be written.
    pub fn offer(&mut self, card: Card, object: Arc<Object>) {
        self.queued += card.length;
        let offer = Arc::new(Offer { card, object, void: AtomicBool::new(false) });
        self.waiting.entry(offer.card.key.clone()).or_default().push(offer.clone());
        self.order.push_back(offer);
    }

    /// What is written next.
    pub fn next(&mut self) -> Option<Arc<Offer>> {
        loop {
            let offer = self.order.pop_front()?;
            if !offer.is_void() {
                return Some(offer);
            }
            self.queued -= offer.card.length;
        }
    }

    /// An offer is over: it was written to a place, or let go.
    pub fn settle(&mut self, offer: &Arc<Offer>, place: Option<(Arc<Segment>, u64, u32)>) {
        self.queued -= offer.card.length;
        let key = &offer.card.key;
        if let Some(waiting) = self.waiting.get_mut(key) {
            waiting.retain(|other| !Arc::ptr_eq(other, offer));
            if waiting.is_empty() {
                self.waiting.remove(key);
            }
        }
        if let Some((segment, offset, region)) = place.filter(|_| !offer.is_void()) {
            self.enter(Located { segment, offset, region, card: Arc::new(offer.card.clone()) });
        }
    }

    /// A segment that is there, or is being written.
    pub fn shelve(&mut self, segment: &Arc<Segment>) {
        self.shelves.entry(segment.number).or_default().segment = Some(segment.clone());
    }

    /// Enters what is on disk.
    pub fn enter(&mut self, located: Located) {
        let weight = ENTRY + located.card.key.as_str().len() as u64 + 8 * located.card.tags.len() as u64;
        let charge = self.memory.charge(Kind::DiskIndex, weight);
        self.weight += weight;
        self.objects += 1;
        self.bytes += located.card.length;
        let shelf = self.shelves.entry(located.segment.number).or_default();
        shelf.records.push((located.card.key.clone(), located.card.number));
        let entries = self.entries.entry(located.card.key.clone()).or_default();
        let (variant, number) = (located.card.variant.clone(), located.card.number);
        entries.push(Entry { located, promoted: Weak::new(), _charge: charge });
        entries.sort_by_key(|entry| entry.located.card.number);
        let is_older = |entry: &mut Entry| entry.located.card.variant == variant && entry.located.card.number < number;
        let mut gone: Vec<_> = entries.extract_if(.., is_older).collect();
        if entries.len() > VARIANTS {
            gone.push(entries.remove(0));
        }
        gone.iter().for_each(|entry| self.forget(entry));
    }

    fn forget(&mut self, entry: &Entry) {
        self.weight -= entry._charge.bytes();
        self.objects -= 1;
        self.bytes -= entry.located.card.length;
    }

    /// Takes out what is `chosen` under `key`; the numbers that went.
    pub fn remove(&mut self, key: &Key, chosen: impl Fn(&Card) -> bool, removed: &mut Removed) -> Vec<u64> {
        let mut numbers = Vec::new();
        if let Some(waiting) = self.waiting.get_mut(key) {
            for offer in waiting.extract_if(.., |offer| chosen(&offer.card)) {
                offer.void.store(true, Ordering::SeqCst);
                removed.objects += 1;
                removed.bytes += offer.card.length;
                numbers.push(offer.card.number);
            }
            if waiting.is_empty() {
                self.waiting.remove(key);
            }
        }
        let Some(entries) = self.entries.get_mut(key) else { return numbers };
        let gone: Vec<_> = entries.extract_if(.., |entry| chosen(&entry.located.card)).collect();
        if entries.is_empty() {
            self.entries.remove(key);
        }
        for entry in gone {
            self.forget(&entry);
            removed.objects += 1;
            removed.bytes += entry.located.card.length;
            numbers.push(entry.located.card.number);
        }
        numbers
    }

    /// The same under every key.
    pub fn remove_by(&mut self, chosen: &dyn Fn(&Card) -> bool, removed: &mut Removed) -> Vec<u64> {
        let stored = self.entries.values().flatten().map(|entry| &*entry.located.card);
        let waiting = self.waiting.values().flatten().map(|offer| &offer.card);
        let keys: HashSet<_> = stored.chain(waiting).filter(|card| chosen(card)).map(|card| card.key.clone()).collect();
        keys.iter().flat_map(|key| self.remove(key, chosen, removed)).collect()
    }

    /// Takes out what newer has come for: what fits the same requests, but for the record that it was promoted from.
    pub fn supersede(&mut self, key: &Key, variant: &Variant, head: &Arc<ResponseHead>) -> Vec<u64> {
        self.changes += 1;
        let own = self.entries.get(key).into_iter().flatten();
        let own = own.filter(|entry| Weak::as_ptr(&entry.promoted) == Arc::as_ptr(head));
        let own: Vec<_> = own.map(|entry| entry.located.card.number).collect();
        let is_old = |card: &Card| card.variant == *variant && !own.contains(&card.number);
        self.remove(key, is_old, &mut Removed::default())
    }

    /// Takes out the record of that number.
    pub fn drop_record(&mut self, card: &Card) -> bool {
        let mut removed = Removed::default();
        let number = card.number;
        self.remove(&card.key, |other| other.number == number, &mut removed);
        removed.objects > 0
    }

    /// Takes out the oldest segment, save `active`, with all that is in it.
    pub fn reclaim(&mut self, active: Option<u64>) -> Option<Arc<Segment>> {
        let number = *self.shelves.keys().find(|number| Some(**number) != active)?;
        self.reclaim_segment(number)
    }

    /// Takes out a segment with all that is in it.
    pub fn reclaim_segment(&mut self, number: u64) -> Option<Arc<Segment>> {
        let shelf = self.shelves.remove(&number)?;
        for (key, record) in shelf.records {
            self.remove(&key, |card| card.number == record, &mut Removed::default());
        }
        shelf.segment
    }

    /// Segments that hold any of `numbers`.
    pub fn holding(&self, numbers: &[u64]) -> Vec<u64> {
        let holds = |shelf: &Shelf| shelf.records.iter().any(|(_, number)| numbers.contains(number));
        self.shelves.iter().filter(|(_, shelf)| holds(shelf)).map(|(number, _)| *number).collect()
    }

    /// The number below which no record is in any segment, nor on its way there.
    pub fn oldest(&self) -> u64 {
        let stored = self.shelves.values().filter_map(|shelf| shelf.records.first()).map(|(_, number)| *number);
        let waiting = self.waiting.values().flatten().map(|offer| offer.card.number);
        stored.chain(waiting).min().unwrap_or(self.last_number)
    }

    /// The segment that is being written, or was last.
    pub fn newest(&self) -> Option<u64> {
        self.shelves.keys().next_back().copied()
    }

    /// Whether a segment is still there.
    pub fn is_shelved(&self, number: u64) -> bool {
        self.shelves.contains_key(&number)
    }

    pub fn segments(&self) -> usize {
        self.shelves.len()
    }

    pub fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
