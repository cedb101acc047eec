//! One version of a media playlist as it goes out: each form (full, delta, gzip) is made once, at first demand, with
//! its head, and shared by all viewers. Long playlists are put together from blocks that do not change.
//!
//! A form is its body (head, segments, tail) and, behind it, the rendition reports, which change more often: where only
//! they did, only they are made anew. An EXT-X-ENDLIST at the end stays behind the reports.

mod blocks;
mod gzip;
mod pack;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;

use crate::clock::Tick;
use crate::rules::hls::delta::{self, Delta};
use crate::rules::hls::playlist::{Line, Tag};
use crate::rules::hls::reports::{self, Sibling};
use crate::rules::hls::{MediaPlaylist, Published, Skipping};

use blocks::{Cut, Shelf, texts};
use gzip::{Piece, Sum};
use pack::Pack;

/// For how long a playlist that has ended is fresh at most.
const ENDED: Duration = Duration::from_secs(86_400);

/// A version of a media playlist.
pub struct Edition {
    /// What viewers see.
    pub published: Arc<Published>,
    /// The origin's fields that go on to viewers: nothing about caching, cookies, validators or coding.
    pub headers: HeaderMap,
    shelf: Arc<Shelf>,
    forms: Mutex<Forms>,
}

/// The forms of a version that were asked for.
#[derive(Default)]
struct Forms {
    /// At most one for each `Form`.
    made: Vec<(Form, Made)>,
    /// Delta updates that cannot be made: the full playlist is sent.
    full: Vec<Skipping>,
}

/// In which form a version is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    /// A delta update, where one can be made.
    pub skipping: Option<Skipping>,
    /// The content coding.
    pub coding: Coding,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// None.
    Identity,
    /// gzip.
    Gzip,
}

/// A form, ready to be sent.
pub struct Rendered {
    /// Its fields: Content-Type, Content-Length, Content-Encoding, ETag, Vary, Cache-Control.
    pub headers: HeaderMap,
    /// Its octets, in order.
    pub chunks: Arc<[Bytes]>,
    /// How many there are.
    pub length: u64,
}

/// A form that was made.
struct Made {
    body: Body,
    /// Until when a delta update may be sent.
    until: Option<Tick>,
    /// The siblings that `reports` were written with.
    stamp: u64,
    reports: String,
    rendered: Arc<Rendered>,
}

/// What of a form does not change with the reports.
#[derive(Clone)]
struct Body {
    pack: Pack,
    /// Checksum of the text, where it is compressed.
    sum: Option<Sum>,
}

impl Edition {
    /// A version, of which no form is made yet; `before` is the one that it follows, whose blocks it shares.
    pub fn new(published: Arc<Published>, headers: HeaderMap, before: Option<&Edition>) -> Self {
        let shelf = before.map(|before| before.shelf.clone()).unwrap_or_default();
        Self { published, headers, shelf, forms: Mutex::default() }
    }

    /// A form of it, with the rendition reports that `siblings` (a stamp, and what makes them) say at this moment.
    pub fn form(&self, form: Form, stamp: u64, siblings: impl FnOnce() -> Vec<Sibling>, now: Tick) -> Arc<Rendered> {
        let made =
            self.forms.lock().find(form, now).filter(|made| made.stamp == stamp).map(|made| made.rendered.clone());
        if let Some(rendered) = made {
            return rendered;
        }
        let reports = reports::write(&self.published.reports, &siblings());
        let mut forms = self.forms.lock();
        let (body, until) = match forms.find(form, now) {
            // Made by another viewer meanwhile, or for other siblings that are reported in the same words.
            Some(made) if made.stamp == stamp || made.reports == reports => {
                made.stamp = stamp;
                return made.rendered.clone();
            }
            Some(made) => (made.body.clone(), made.until),
            None => self.body(form, &mut forms, now),
        };
        let rendered = Arc::new(self.finish(form.coding, &body, &reports));
        forms.keep(form, Made { body, until, stamp, reports, rendered: rendered.clone() });
        rendered
    }

    /// What its forms take, in bytes: body and rendered chunks may be two copies.
    pub fn octets(&self) -> u64 {
        self.forms.lock().made.iter().map(|(_, made)| 2 * made.rendered.length).sum()
    }

    /// For how long an answer that was waited for may be kept downstream: it answers its position for ever, and the
    /// segments that it lists live that long (Appendix B.1).
    pub fn blocking_lifetime(&self) -> Duration {
        self.published.playlist.facts.target_duration.saturating_mul(6)
    }

    /// For how long any other answer may be kept downstream.
    fn lifetime(&self) -> Duration {
        let playlist = &self.published.playlist;
        let second = Duration::from_secs(1);
        match playlist.facts.is_ended {
            true => playlist.duration().min(ENDED).max(playlist.facts.target_duration).max(second),
            false => (playlist.facts.target_duration / 2).max(second),
        }
    }

    /// The body of a form, and until when it may be sent.
    fn body(&self, form: Form, forms: &mut Forms, now: Tick) -> (Body, Option<Tick>) {
        let form = forms.as_sent(form);
        if let Some(skipping) = form.skipping {
            if let Some(delta) = delta::delta(&self.published, skipping, now) {
                return (of_delta(&delta, &self.published.playlist, form.coding), delta.until);
            }
            forms.full.push(skipping);
        }
        let made = forms.find(form, now).map(|made| made.body.clone());
        (made.unwrap_or_else(|| of_full(&self.shelf, &self.published.playlist, form.coding)), None)
    }

    /// A body with its reports and its head.
    fn finish(&self, coding: Coding, body: &Body, reports: &str) -> Rendered {
        let playlist = &self.published.playlist;
        let closing = &playlist.tail[ending(playlist)..];
        let newline = if !reports.is_empty() && is_open(playlist) { "\n" } else { "" };
        let texts = [newline, reports].into_iter().chain(lines(closing));
        let mut pack = body.pack.clone();
        match &body.sum {
            None => texts.for_each(|text| pack.copy(text.as_bytes())),
            Some(sum) => {
                let (mut sum, piece) = (sum.clone(), Piece::of(texts));
                pack.copy(&piece.octets);
                sum.add(piece.sum());
                pack.copy(&sum.end());
            }
        }
        Rendered::new(pack, coding, self.headers.clone(), self.lifetime())
    }
}

impl Rendered {
    /// The one form of a text in a coding, with the fields `headers` and its own.
    pub fn of_text(text: &str, coding: Coding, headers: HeaderMap, lifetime: Duration) -> Self {
        let mut pack = Pack::new();
        match coding {
            Coding::Identity => pack.copy(text.as_bytes()),
            Coding::Gzip => pack.copy(&gzipped(text)),
        }
        Self::new(pack, coding, headers, lifetime)
    }

    fn new(pack: Pack, coding: Coding, mut headers: HeaderMap, lifetime: Duration) -> Self {
        let packed = pack.finish();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.apple.mpegurl"));
        headers.insert(CONTENT_LENGTH, packed.length.into());
        match coding {
            Coding::Gzip => _ = headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip")),
            Coding::Identity => _ = headers.remove(CONTENT_ENCODING),
        }
        let tag = format!("\"{:016x}\"", packed.hash);
        headers.insert(ETAG, HeaderValue::try_from(tag).expect("hexadecimal digits are a field value"));
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(CACHE_CONTROL, max_age(lifetime));
        Self { headers, chunks: packed.chunks, length: packed.length }
    }
}

/// A text as a gzip member of its own.
pub fn gzipped(text: &str) -> Bytes {
    let piece = Piece::of([text]);
    [&gzip::HEAD, &*piece.octets, &piece.sum().end()].concat().into()
}

/// Cache-Control for a lifetime, in whole seconds.
pub fn max_age(lifetime: Duration) -> HeaderValue {
    HeaderValue::try_from(format!("max-age={}", lifetime.as_secs())).expect("digits are a field value")
}

impl Body {
    fn new(coding: Coding) -> Self {
        let mut body = Self { pack: Pack::new(), sum: None };
        if coding == Coding::Gzip {
            body.pack.copy(&gzip::HEAD);
            body.sum = Some(Sum::default());
        }
        body
    }

    /// Text of this version alone.
    fn write<'t>(&mut self, texts: impl Iterator<Item = &'t str>) {
        match &mut self.sum {
            None => texts.for_each(|text| self.pack.copy(text.as_bytes())),
            Some(sum) => {
                let piece = Piece::of(texts);
                self.pack.share(&piece.octets);
                sum.add(piece.sum());
            }
        }
    }

    /// A block of segments.
    fn block(&mut self, block: &blocks::Block) {
        match &mut self.sum {
            None => self.pack.share(block.text()),
            Some(sum) => {
                let piece = block.piece();
                self.pack.share(&piece.octets);
                sum.add(piece.sum());
            }
        }
    }
}

fn of_full(shelf: &Shelf, playlist: &MediaPlaylist, coding: Coding) -> Body {
    let Cut { front, blocks, back } = shelf.cut(playlist);
    let (head, tail) = (lines(&playlist.head), lines(&playlist.tail[..ending(playlist)]));
    let segments = |range: std::ops::Range<usize>| texts(&playlist.segments[range]);
    let mut body = Body::new(coding);
    if blocks.is_empty() {
        body.write(head.chain(segments(back)).chain(tail));
        return body;
    }
    body.write(head.chain(segments(front)));
    blocks.iter().for_each(|block| body.block(block));
    body.write(segments(back).chain(tail));
    body
}

fn of_delta(delta: &Delta, playlist: &MediaPlaylist, coding: Coding) -> Body {
    let mut body = Body::new(coding);
    let head = std::iter::once(delta.head.as_str());
    let tail = lines(&playlist.tail[..ending(playlist)]);
    body.write(head.chain(texts(&playlist.segments[delta.first..])).chain(tail));
    body
}

/// Where in the tail the end of the playlist stands; behind all of it where it has none there.
fn ending(playlist: &MediaPlaylist) -> usize {
    playlist.tail.iter().position(|line| line.tag == Tag::EndList).unwrap_or(playlist.tail.len())
}

fn lines(lines: &[Line]) -> impl Iterator<Item = &str> {
    lines.iter().map(|line| &*line.text)
}

/// Whether what stands before the reports ends in the middle of a line.
fn is_open(playlist: &MediaPlaylist) -> bool {
    let last = lines(&playlist.head)
        .chain(texts(&playlist.segments).next_back())
        .chain(lines(&playlist.tail[..ending(playlist)]));
    last.last().is_some_and(|text| !text.ends_with('\n'))
}

impl Forms {
    /// A form that was made and may still be sent.
    fn find(&mut self, form: Form, now: Tick) -> Option<&mut Made> {
        let form = self.as_sent(form);
        let (_, made) = self.made.iter_mut().find(|(other, _)| *other == form)?;
        made.until.is_none_or(|until| now < until).then_some(made)
    }

    fn keep(&mut self, form: Form, made: Made) {
        let form = self.as_sent(form);
        self.made.retain(|(other, _)| *other != form);
        self.made.push((form, made));
    }

    fn as_sent(&self, form: Form) -> Form {
        Form { skipping: form.skipping.filter(|skipping| !self.full.contains(skipping)), ..form }
    }
}
