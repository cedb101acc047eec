//! The page of what sinks are told (docs/uplink.md), its schema and its table, against what the node writes: every event
//! has an example that is written so, and no field is left out. Where the page lacks what a test names, add it there.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::Value;
use weir::rules::qoe::report::Data;
use weir::rules::timeline::event::{
    Began, Ended, Entry, Event, Fetch, Lost, NodeChange, Path, Request, SCHEMA, Served, Verdict,
};

fn page() -> String {
    fs::read_to_string("docs/uplink.md").unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string("docs/uplink.schema.json").unwrap()).unwrap()
}

/// The examples of the page, one of each event.
fn examples() -> Vec<String> {
    let page = page();
    let blocks = page.split("```json\n").skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned());
    blocks.collect()
}

#[test]
fn the_page_shows_one_line_of_each_event_as_the_node_writes_it() {
    let mut shown = Vec::new();
    for example in examples() {
        let line: Value = serde_json::from_str(&example).unwrap();
        let entry: Entry = serde_json::from_str(&example).unwrap();
        let written = serde_json::to_value(&entry).unwrap();
        for (field, value) in line.as_object().unwrap() {
            let is_of_the_line = ["schema", "key", "node", "region"].contains(&field.as_str());
            assert!(is_of_the_line || written.get(field) == Some(value), "{field} of {example}");
        }
        assert_eq!(line["schema"], SCHEMA);
        for field in written.as_object().unwrap().keys() {
            assert!(line.get(field).is_some(), "{field} is missing in {example}");
        }
        shown.push(line["event"].as_str().unwrap().to_owned());
    }
    shown.sort_unstable();
    let mut words = Event::WORDS.map(str::to_owned);
    words.sort_unstable();
    assert_eq!(shown, words);
}

#[test]
fn the_schema_takes_every_example_and_nothing_that_is_wrong() {
    let schema = schema();
    for example in examples() {
        let line: Value = serde_json::from_str(&example).unwrap();
        assert_eq!(judge(&schema, &schema, &line), Ok(()), "{example}");
        for field in schema["required"].as_array().unwrap() {
            let mut less = line.clone();
            less.as_object_mut().unwrap().remove(field.as_str().unwrap());
            assert!(judge(&schema, &schema, &less).is_err(), "{example} without {field}");
        }
        let mut odd = line.clone();
        odd["at"] = "now".into();
        assert!(judge(&schema, &schema, &odd).is_err(), "{odd}");
        odd = line.clone();
        odd["later"] = 1.into();
        assert_eq!(judge(&schema, &schema, &odd), Ok(()), "fields are added");
    }
}

#[test]
fn no_field_is_left_out_of_the_schema() {
    let schema = schema();
    let of = |event: &str| {
        let events = schema["oneOf"].as_array().unwrap();
        events.iter().find(|one| one["title"] == event).unwrap()["properties"].as_object().unwrap().clone()
    };
    for (event, fields) in [
        ("began", fields::<Began>()),
        ("verdict", fields::<Verdict>()),
        ("request", fields::<Request>()),
        ("served", fields::<Served>()),
        ("fetch", fields::<Fetch>()),
        ("report", fields::<Data>()),
        ("path", fields::<Path>()),
        ("ended", fields::<Ended>()),
        ("node", fields::<NodeChange>()),
        ("lost", fields::<Lost>()),
    ] {
        let known = of(event);
        let lacking: Vec<_> = fields.iter().filter(|field| !known.contains_key(**field)).collect();
        assert!(!fields.is_empty() && lacking.is_empty(), "docs/uplink.schema.json lacks {lacking:?} of `{event}`");
        let page = page();
        let is_named = |field: &&&str| event == "report" || page.contains(&format!("`{field}`"));
        let lacking: Vec<_> = fields.iter().filter(|field| !is_named(field)).collect();
        assert!(lacking.is_empty(), "docs/uplink.md lacks {lacking:?} of `{event}`");
    }
}

#[test]
fn clickhouse_takes_the_lines_into_the_table_and_counts_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines");
    fs::write(&lines, examples().join("\n") + "\n").unwrap();
    let python = std::env::var("WEIR_PYTHON").unwrap_or_else(|_| ".venv/bin/python".to_owned());
    let script = ["tests/foreign/clickhouse.py", "docs/clickhouse.sql"];
    let Ok(output) = Command::new(python).args(script).arg(&lines).output() else { return };
    if output.status.code() == Some(77) {
        return;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counted = counted.as_array().unwrap();
    assert_eq!(counted.len(), Event::WORDS.len(), "{counted:?}");
    assert!(counted.iter().all(|row| row["lines"] == 1 && row["first"].as_str().unwrap().starts_with("2027-01-15")));
}

/// Judges a value by the part of JSON Schema that the page's schema uses.
fn judge(whole: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return judge(whole, whole.pointer(reference.trim_start_matches('#')).unwrap(), value);
    }
    let is_of_type = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("{other} is not judged here"),
    };
    let is_of_list = schema["enum"].as_array().is_none_or(|list| list.contains(value));
    let is_const = schema.get("const").is_none_or(|only| only == value);
    if !(is_of_type && is_of_list && is_const) {
        return Err(format!("{value} is not {schema}"));
    }
    for field in schema["required"].as_array().into_iter().flatten() {
        if value.get(field.as_str().unwrap()).is_none() {
            return Err(format!("{field} is missing"));
        }
    }
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        value.get(field).map_or(Ok(()), |value| judge(whole, schema, value))?;
    }
    if let Some(schema) = schema.get("items") {
        value.as_array().unwrap().iter().try_for_each(|value| judge(whole, schema, value))?;
    }
    match schema["oneOf"].as_array() {
        Some(all) if all.iter().filter(|one| judge(whole, one, value).is_ok()).count() != 1 => {
            Err(format!("not one of them: {:?}", all.iter().map(|one| judge(whole, one, value)).collect::<Vec<_>>()))
        }
        _ => Ok(()),
    }
}

/// The fields of a structure, as its deserialisation asks for them.
fn fields<'de, T: Deserialize<'de>>() -> BTreeSet<&'static str> {
    let mut fields = BTreeSet::new();
    assert!(T::deserialize(Asked(&mut fields)).is_err(), "nothing is given");
    fields
}

struct Asked<'a>(&'a mut BTreeSet<&'static str>);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(fields);
        Err(serde::de::Error::custom("only asked"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("not a structure"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
