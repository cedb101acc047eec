//! Times, spans, rates and sizes as people read them.

/// The time of day (UTC) of a moment, as `20:31:07`.
pub fn time(at: u64) -> String {
    let seconds = at / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// So many milliseconds, as `480 ms`, `7.4 s`, `4 min 10 s` or `2 h 5 min`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// So many kbit/s, as `800 kbit/s` or `2.5 Mbit/s`.
pub fn rate(kbps: u64) -> String {
    match kbps {
        0..1_000 => format!("{kbps} kbit/s"),
        _ => format!("{}.{} Mbit/s", kbps / 1_000, kbps % 1_000 / 100),
    }
}

/// So many octets, as `340 B`, `12 KiB` or `1.2 MiB`.
pub fn size(octets: u64) -> String {
    match octets {
        0..1_024 => format!("{octets} B"),
        1_024..1_048_576 => format!("{} KiB", octets / 1_024),
        _ => format!("{}.{} MiB", octets >> 20, (octets >> 10) % 1_024 * 10 / 1_024),
    }
}

/// `once`, `twice`, `3 times`
pub fn times(number: usize) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{number} times"),
    }
}

/// `1 part`, `2 parts`
pub fn counted(number: u64, one: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {one}{end}")
}

/// HTTP's versions as people write them.
pub fn protocol(word: &str) -> &str {
    match word {
        "h1" => "HTTP/1.1",
        "h2" => "HTTP/2",
        "h3" => "HTTP/3",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_written_as_people_read_it() {
        assert_eq!(time(86_400_000 + 73_867_250), "20:31:07");
        let spans: Vec<_> = [480, 7_449, 250_000, 7_500_000].into_iter().map(span).collect();
        assert_eq!(spans, ["480 ms", "7.4 s", "4 min 10 s", "2 h 5 min"]);
        assert_eq!((rate(800), rate(2_560)), ("800 kbit/s".to_owned(), "2.5 Mbit/s".to_owned()));
        let sizes: Vec<_> = [340, 12_300, 1_300_000].into_iter().map(size).collect();
        assert_eq!(sizes, ["340 B", "12 KiB", "1.2 MiB"]);
    }
}
