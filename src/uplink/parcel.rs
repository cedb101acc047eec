//! A batch as it is sent: lines of the log as they are, each with its end.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::config::sinks::{Compression, Format};
use crate::journal::log::Numbered;
use crate::rules::delivery::batch::{self, Extent};
use crate::rules::delivery::progress::UnderWay;
use crate::rules::timeline::spans;
use crate::tasks::Tasks;

/// Of gzip: half of what its best level saves is worth a tenth of the time.
const GZIP: u32 = 3;
/// Of Zstandard.
const ZSTD: i32 = 1;

/// A stretch of the log: what is sent of it, and what is not.
pub(super) struct Stretch {
    /// What it holds of what is sent.
    pub extent: Extent,
    /// Its last number, sent or not.
    pub last: u64,
    /// Records that this sink is not to have.
    pub left_out: u64,
    /// Lines with their ends.
    pub lines: Bytes,
}

/// What bodies hold, and how they are made smaller.
type How = (Format, Compression);

/// A batch under its key.
pub(super) struct Parcel {
    /// What a receiver knows it by.
    pub key: String,
    /// What it holds.
    pub extent: Extent,
    /// Its lines.
    pub lines: Bytes,
    /// Up to which erasure they were read.
    pub as_of: u64,
    made: Mutex<Option<(How, Option<Bytes>)>>,
}

#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
}

/// What a line tells of is one of `events`, or they are all meant.
fn is_for(events: &BTreeSet<&'static str>, line: &[u8]) -> bool {
    events.is_empty() || serde_json::from_slice(line).is_ok_and(|tagged: Tagged<'_>| events.contains(&*tagged.event))
}

impl Stretch {
    /// As many of `records` as make a batch of `most` octets; those that are not for the sink take no room. `None`: there
    /// are none.
    pub fn cut(records: &[Numbered], most: usize, events: &BTreeSet<&'static str>) -> Option<Self> {
        let wanted: Vec<_> = records.iter().map(|numbered| is_for(events, &numbered.record.line)).collect();
        let lengths = || records.iter().zip(&wanted).filter(|(_, wanted)| **wanted);
        let count = batch::cut(lengths().map(|(numbered, _)| numbered.record.line.len()), most);
        // Behind the last line that fits, what is not for the sink is passed as well.
        let end = lengths()
            .nth(count)
            .map_or(records.len(), |(next, _)| records.partition_point(|numbered| numbered.number < next.number));
        let last = records[..end].last()?.number;
        let mut lines = BytesMut::new();
        let mut extent = Extent::default();
        for (numbered, _) in lengths().take(count) {
            lines.extend_from_slice(&numbered.record.line);
            lines.extend_from_slice(b"\n");
            extent = extent.with(numbered.number, numbered.record.at);
        }
        Some(Self { extent, last, left_out: (end - count) as u64, lines: lines.freeze() })
    }

    /// Of its octets.
    pub fn check(&self) -> u32 {
        crc32fast::hash(&self.lines)
    }

    /// What is written down before it is sent.
    pub fn under_way(&self, key: String) -> UnderWay {
        UnderWay { last: self.last, count: self.extent.count, left_out: self.left_out, check: self.check(), key }
    }
}

impl Parcel {
    pub fn new(Stretch { extent, lines, .. }: Stretch, key: String, as_of: u64) -> Self {
        Self { key, extent, lines, as_of, made: Mutex::default() }
    }

    /// What is sent of its lines, made once for all attempts, beside the runtime: it takes milliseconds. `None`: nothing is.
    pub async fn body(&self, format: Format, compression: Compression, tasks: &Tasks) -> Option<Bytes> {
        if (format, compression) == (Format::Lines, Compression::None) {
            return Some(self.lines.clone());
        }
        let how = (format, compression);
        if let Some((_, made)) = self.made.lock().as_ref().filter(|(with, _)| *with == how) {
            return made.clone();
        }
        let lines = self.lines.clone();
        let making = move || match format {
            Format::Lines => Some(pack(compression, &lines)),
            Format::OtlpTraces => Some(pack(compression, &spans::export(&lines, env!("CARGO_PKG_VERSION"))?)),
        };
        let made = tasks.spawn_blocking("sink", making).await.expect("what is made of lines brings nothing down");
        let made = made.map(|packed| packed.expect("memory takes what is written to it"));
        *self.made.lock() = Some((how, made.clone()));
        made
    }
}

/// The same lines give the same octets.
fn pack(compression: Compression, lines: &[u8]) -> io::Result<Bytes> {
    Ok(match compression {
        Compression::None => Bytes::copy_from_slice(lines),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP));
            encoder.write_all(lines)?;
            encoder.finish()?.into()
        }
        Compression::Zstd => zstd::bulk::compress(lines, ZSTD)?.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::journal::log::{Class, Record};

    fn numbered(number: u64, event: &str) -> Numbered {
        let line = Bytes::from(format!("{{\"schema\":1,\"event\":\"{event}\"}}"));
        Numbered { number, record: Record { session: None, at: number, class: Class::Lasting, line } }
    }

    #[test]
    fn what_a_sink_is_not_to_have_is_passed_and_counted() {
        let records =
            [(3, "path"), (4, "served"), (6, "path"), (7, "served"), (8, "path")].map(|(n, e)| numbered(n, e));
        let all = Stretch::cut(&records, 1 << 20, &BTreeSet::new()).unwrap();
        assert_eq!((all.extent.count, all.left_out, all.last), (5, 0, 8));
        let some = Stretch::cut(&records, 1 << 20, &BTreeSet::from(["served"])).unwrap();
        assert_eq!((some.extent.first, some.extent.last, some.left_out, some.last), (4, 7, 3, 8));
        let one = Stretch::cut(&records, 10, &BTreeSet::from(["served"])).unwrap();
        assert_eq!((one.extent.count, one.left_out, one.last), (1, 2, 6));
        let none = Stretch::cut(&records, 10, &BTreeSet::from(["node"])).unwrap();
        assert_eq!((none.extent.count, none.left_out, none.last, none.lines.len()), (0, 5, 8, 0));
        assert!(Stretch::cut(&[], 10, &BTreeSet::new()).is_none());
    }

    #[tokio::test]
    async fn a_parcel_is_packed_once_and_is_the_same_each_time() {
        let records: Vec<_> = (0..100).map(|number| numbered(number, "served")).collect();
        let stretch = || Stretch::cut(&records, 1 << 20, &BTreeSet::new()).unwrap();
        let (parcel, again) = (Parcel::new(stretch(), "k".to_owned(), 0), Parcel::new(stretch(), "k".to_owned(), 0));
        let tasks = Tasks::current();
        let body = async |parcel: &Parcel, compression| parcel.body(Format::Lines, compression, &tasks).await.unwrap();
        for compression in [Compression::Gzip, Compression::Zstd] {
            let packed = body(&parcel, compression).await;
            assert_eq!(packed.as_ptr(), body(&parcel, compression).await.as_ptr());
            assert_eq!(packed, body(&again, compression).await);
            assert!(packed.len() * 5 < parcel.lines.len());
        }
        let mut lines = Vec::new();
        let gzip = body(&parcel, Compression::Gzip).await;
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut lines).unwrap();
        assert_eq!(lines, parcel.lines);
        let zstd = body(&parcel, Compression::Zstd).await;
        assert_eq!(zstd::bulk::decompress(&zstd, 1 << 20).unwrap(), parcel.lines);
        assert_eq!(body(&parcel, Compression::None).await, parcel.lines);
    }
}
