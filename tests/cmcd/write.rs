//! CMCD as it is sent, from what was read: for the law that what is read, written and read again is the same.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use weir::rules::qoe::read::Read;

/// Keys whose values are words without quotes.
const WORDS: [&str; 5] = ["e", "ot", "sf", "st", "sta"];

/// A report as one dictionary.
pub fn written(read: &Read) -> String {
    let data = serde_json::to_value(&read.data).expect("it is made of texts and numbers");
    let is_first = !matches!(data["v"].as_u64(), Some(2..));
    let mut pairs: Vec<String> = Vec::new();
    for (key, value) in data.as_object().into_iter().flatten() {
        let value = match value {
            Value::Bool(true) => {
                pairs.push(key.clone());
                continue;
            }
            Value::Bool(false) => "?0".to_owned(),
            Value::String(word) if WORDS.contains(&key.as_str()) => word.clone(),
            Value::String(text) => quoted(text),
            Value::Number(number) => number_of(number),
            Value::Array(items) if is_first => match &items[0]["path"] {
                Value::String(path) => quoted(&utf8_percent_encode(path, NON_ALPHANUMERIC).to_string()),
                _ => items[0]["value"].to_string(),
            },
            Value::Array(items) => format!("({})", items.iter().map(item).collect::<Vec<_>>().join(" ")),
            other => panic!("{key} is {other}"),
        };
        pairs.push(format!("{key}={value}"));
    }
    pairs.extend(read.sid.iter().map(|sid| format!("sid={}", quoted(sid))));
    pairs.extend(read.custom.iter().map(|(key, value)| format!("{key}={}", quoted(value))));
    pairs.join(",")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A number with a fraction is one by its point.
fn number_of(number: &serde_json::Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(whole) if whole.fract() == 0.0 => format!("{whole:.0}"),
        _ => number.to_string(),
    }
}

fn item(item: &Value) -> String {
    if let Value::String(code) = item {
        return quoted(code);
    }
    let of = item["of"].as_str().map(|of| format!(";{of}"));
    let range = item["r"].as_str().map(|range| format!(";r={}", quoted(range)));
    let value = item["path"].as_str().map_or_else(|| item["value"].to_string(), quoted);
    [value, of.unwrap_or_default(), range.unwrap_or_default()].concat()
}
