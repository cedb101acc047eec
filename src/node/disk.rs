//! How the disk under the cache is: for `/status` and for metrics.

use crate::admin::DiskStatus;
use crate::cache::spill::{READ_BOUNDS, Spill, Standing};
use crate::telemetry::counters::{BOUNDS, DurationsSum};
use crate::telemetry::metrics::{Family, Value};

// One histogram is shown as the other.
const _: () = assert!(BOUNDS.len() == READ_BOUNDS.len());

pub(super) fn status(spill: &Spill) -> DiskStatus {
    let usage = spill.usage();
    DiskStatus {
        engine: usage.engine,
        direct: usage.is_direct,
        path: spill.folder().display().to_string(),
        objects: usage.objects,
        bodies: usage.bytes,
        bytes: usage.used,
        size: usage.size,
        waiting: usage.waiting,
        state: usage.standing.word(),
    }
}

pub(super) fn families(spill: &Spill) -> Vec<Family> {
    let (usage, figures) = (spill.usage(), spill.figures());
    let bytes = [("read", figures.read_bytes.value()), ("write", figures.written_bytes.value())];
    let bytes =
        bytes.iter().fold(Family::new("weir_disk_bytes", "Octets read and written"), |family, (what, count)| {
            family.with(vec![("operation", (*what).to_owned())], Value::Counter(*count))
        });
    let let_go = [
        ("queue-full", &figures.queue_full),
        ("failing", &figures.paused),
        ("no-room", &figures.no_room),
        ("of-no-use", &figures.unfit),
        ("purged", &figures.raced),
    ];
    let help = "Objects that memory let go of and that were not written, by why";
    let let_go = let_go.iter().fold(Family::new("weir_disk_let_go", help), |family, (why, count)| {
        family.with(vec![("why", (*why).to_owned())], Value::Counter(count.value()))
    });
    let (buckets, seconds) = figures.read_durations();
    let writes = f64::from(u8::from(usage.standing == Standing::Good));
    let engine = vec![("engine", usage.engine.to_owned())];
    vec![
        Family::new("weir_disk_engine", "What reads and writes the disk").with(engine, Value::Gauge(1.0)),
        Family::gauge("weir_disk_objects", "Objects on disk", usage.objects as f64),
        Family::gauge("weir_disk_used_bytes", "What the files of the disk take", usage.used as f64),
        Family::gauge("weir_disk_size_bytes", "What the files of the disk may take", usage.size as f64),
        Family::gauge("weir_disk_waiting_bytes", "Octets that wait to be written to disk", usage.waiting as f64),
        Family::gauge("weir_disk_good", "Whether the disk reads and writes", writes),
        Family::counter("weir_disk_reads", "Objects read from disk", figures.reads.value()),
        Family::counter("weir_disk_writes", "Objects written to disk", figures.writes.value()),
        bytes,
        Family::counter(
            "weir_disk_errors",
            "Requests to the disk that failed or took too long",
            figures.errors.value(),
        ),
        Family::counter("weir_disk_damaged", "Objects whose checksum did not hold", figures.damaged.value()),
        Family::counter("weir_disk_reclaimed", "Segments that went for room", figures.reclaimed.value()),
        let_go,
        Family::new("weir_disk_read_seconds", "From a read's request to its octets")
            .with(Vec::new(), Value::Durations(DurationsSum { buckets, seconds })),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fall_into_the_buckets_of_all_durations() {
        assert_eq!(BOUNDS, READ_BOUNDS);
    }
}
