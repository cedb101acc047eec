//! Tags with attributes, one function each. Attributes that are not known are passed over; a tag with one that says it
//! must be understood (REQ-) is ignored as a whole (RFC 8216bis §6.3.1).

use std::time::Duration;

use super::super::playlist::{
    Definition, HintKind, HintRange, Map, PartialSegment, PreloadHint, RenditionReport, ServerControl, Skip,
};
use super::attributes::{Attributes, BadList, Value};
use super::values::Unplaced;

/// Why a tag says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is to be ignored by whoever does not know one of its attributes.
    Ignored,
    /// It breaks its rules.
    Malformed,
}

impl From<BadList> for Unread {
    fn from(_: BadList) -> Self {
        Self::Malformed
    }
}

type Read<T> = Result<T, Unread>;

/// Passes over an attribute that is not known.
fn unknown(name: &str) -> Read<()> {
    if name.starts_with("REQ-") { Err(Unread::Ignored) } else { Ok(()) }
}

/// What an attribute must be.
fn need<T>(value: Option<T>) -> Read<T> {
    value.ok_or(Unread::Malformed)
}

fn range(value: Value<'_>) -> Read<Unplaced> {
    need(value.quoted().and_then(Unplaced::read))
}

/// EXT-X-PART (§4.4.4.9). Its range is still to be placed.
pub fn part(list: &str) -> Read<(PartialSegment, Option<Unplaced>)> {
    let (mut uri, mut duration, mut bytes) = (None, None, None);
    let (mut is_independent, mut is_gap) = (false, false);
    for attribute in Attributes::of(list) {
        let (name, value) = attribute?;
        match name {
            "URI" => uri = Some(need(value.filled())?),
            "DURATION" => duration = Some(need(value.duration())?),
            "BYTERANGE" => bytes = Some(range(value)?),
            "INDEPENDENT" => is_independent = value.is_yes(),
            "GAP" => is_gap = value.is_yes(),
            _ => unknown(name)?,
        }
    }
    let (uri, duration) = (need(uri)?.into(), need(duration)?);
    Ok((PartialSegment { uri, duration, byte_range: None, is_independent, is_gap }, bytes))
}

/// EXT-X-MAP (§4.4.4.5). A range that does not say where it begins has nothing to follow and begins at 0.
pub fn map(list: &str) -> Read<Map> {
    let (mut uri, mut byte_range) = (None, None);
    for attribute in Attributes::of(list) {
        let (name, value) = attribute?;
        match name {
            "URI" => uri = Some(need(value.filled())?),
            "BYTERANGE" => byte_range = Some(need(range(value)?.place(Some(0)))?),
            _ => unknown(name)?,
        }
    }
    Ok(Map { uri: need(uri)?.into(), byte_range })
}

/// The URI of EXT-X-KEY (§4.4.4.4), if it has one.
pub fn key(list: &str) -> Read<Option<Box<str>>> {
    let mut uri = None;
    for attribute in Attributes::of(list) {
        let (name, value) = attribute?;
        match name {
            "URI" => uri = Some(need(value.filled())?),
            _ => unknown(name)?,
        }
    }
    Ok(uri.map(Box::from))
}

/// EXT-X-PRELOAD-HINT (§4.4.5.3).
pub fn preload_hint(list: &str) -> Read<PreloadHint> {
    let (mut kind, mut uri, mut start, mut length) = (None, None, None, None);
    for attribute in Attributes::of(list) {
        let (name, value) = attribute?;
        match (name, value.word()) {
            ("TYPE", Some("PART")) => kind = Some(HintKind::Part),
            ("TYPE", Some("MAP")) => kind = Some(HintKind::Map),
            ("TYPE", _) => return Err(Unread::Ignored),
            ("URI", _) => uri = Some(need(value.filled())?),
            ("BYTERANGE-START", _) => start = Some(need(value.integer())?),
            ("BYTERANGE-LENGTH", _) => length = Some(need(value.integer())?),
            _ => unknown(name)?,
        }
    }
    let range = (start.is_some() || length.is_some()).then(|| HintRange { start: start.unwrap_or(0), length });
    if let Some(range) = range {
        need(range.start.checked_add(range.length.unwrap_or(0)))?;
    }
    Ok(PreloadHint { kind: need(kind)?, uri: need(uri)?.into(), range })
}

/// EXT-X-RENDITION-REPORT (§4.4.5.4).
pub fn rendition_report(list: &str) -> Read<RenditionReport> {
    let (mut uri, mut last_msn, mut last_part, mut others) = (None, None, None, String::new());
    for attribute in Attributes::of(list) {
        let (name, value) = attribute?;
        match name {
            "URI" => uri = Some(need(value.filled())?),
            "LAST-MSN" => last_msn = Some(need(value.sequence())?),
            "LAST-PART" => last_part = Some(need(value.sequence())?),
            _ => {
                unknown(name)?;
                others.extend([",", name, "=", value.written()]);
            }
        }
    }
    Ok(RenditionReport { uri: need(uri)?.into(), last_msn, last_part, others: others.into() })
}

/// The ID of EXT-X-DATERANGE (§4.4.5.1).
pub fn date_range(list: &str) -> Read<Box<str>> {
    let mut id = None;
    for attribute in Attributes::of(list) {
        let (name, value) = attribute?;
        match name {
            "ID" => id = Some(need(value.filled())?),
            _ => unknown(name)?,
        }
    }
    Ok(need(id)?.into())
}

/// EXT-X-DEFINE (§4.4.2.3): exactly one of NAME with VALUE, IMPORT and QUERYPARAM.
pub fn define(list: &str) -> Read<Definition> {
    let (mut name_of, mut value_of, mut import, mut query) = (None, None, None, None);
    for attribute in Attributes::of(list) {
        let (name, value) = attribute?;
        match name {
            "NAME" => name_of = Some(need(value.filled())?),
            "VALUE" => value_of = Some(need(value.quoted())?),
            "IMPORT" => import = Some(need(value.filled())?),
            "QUERYPARAM" => query = Some(need(value.filled())?),
            _ => unknown(name)?,
        }
    }
    match (name_of, value_of, import, query) {
        (Some(name), Some(value), None, None) => Ok(Definition::Value(name.into(), value.into())),
        (None, None, Some(name), None) => Ok(Definition::Import(name.into())),
        (None, None, None, Some(name)) => Ok(Definition::QueryParameter(name.into())),
        _ => Err(Unread::Malformed),
    }
}

/// EXT-X-SERVER-CONTROL (§4.4.3.8). A value that cannot be read counts as absent.
pub fn server_control(list: &str) -> Read<ServerControl> {
    let mut control = ServerControl::default();
    for attribute in Attributes::of(list) {
        let (name, value) = attribute?;
        match name {
            "CAN-BLOCK-RELOAD" => control.can_block_reload = value.is_yes(),
            "CAN-SKIP-UNTIL" => control.can_skip_until = value.duration(),
            "CAN-SKIP-DATERANGES" => control.can_skip_date_ranges = value.is_yes(),
            "HOLD-BACK" => control.hold_back = value.duration(),
            "PART-HOLD-BACK" => control.part_hold_back = value.duration(),
            _ => unknown(name)?,
        }
    }
    Ok(control)
}

/// PART-TARGET of EXT-X-PART-INF (§4.4.3.7).
pub fn part_target(list: &str) -> Read<Duration> {
    let mut target = None;
    for attribute in Attributes::of(list) {
        let (name, value) = attribute?;
        match name {
            "PART-TARGET" => target = value.duration().filter(|target| !target.is_zero()),
            _ => unknown(name)?,
        }
    }
    need(target)
}

/// EXT-X-SKIP (§4.4.5.2).
pub fn skip(list: &str) -> Read<Skip> {
    let (mut segments, mut removed) = (None, None);
    for attribute in Attributes::of(list) {
        let (name, value) = attribute?;
        match name {
            "SKIPPED-SEGMENTS" => segments = Some(need(value.integer())?),
            "RECENTLY-REMOVED-DATERANGES" => removed = Some(need(value.quoted())?),
            _ => unknown(name)?,
        }
    }
    let ids = |text: &str| text.split('\t').filter(|id| !id.is_empty()).map(Box::from).collect();
    Ok(Skip { segments: need(segments)?, removed_date_ranges: removed.map(ids) })
}
