//! The keys of a `[[route]]` that say how far plain responses are shared: where the standard leaves a cache free.

use http::HeaderName;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, RANGE};

use super::file::{Section, Value};
use super::finding::Complaint;
use super::origin::field_name;
use crate::rules::caching::storable::SetCookie;

/// What these keys say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// What is done with Set-Cookie in plain responses that could be shared.
    pub set_cookie: SetCookie,
    /// Fields on which Vary does not count.
    pub ignore_vary: Vec<HeaderName>,
    /// What of a request's own Cache-Control is heard.
    pub wishes: Wishes,
}

/// `route.honour_request_directives`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wishes {
    /// `only-if-cached` alone: a viewer cannot pierce the cache.
    #[default]
    Passed,
    /// All of it (RFC 9111 §5.2.1).
    Honoured,
}

/// Reads them.
pub(super) fn sharing(section: &mut Section<'_>) -> Sharing {
    let words = [("share", SetCookie::Share), ("strip", SetCookie::Strip), ("bypass", SetCookie::Bypass)];
    let set_cookie = section.value("set_cookie").and_then(|value| value.choice(&words)).unwrap_or_default();
    let ignored = section.value("ignore_vary").and_then(|value| value.list()).unwrap_or_default();
    let honoured = section.value("honour_request_directives").and_then(|value| value.flag()).unwrap_or(false);
    Sharing {
        set_cookie,
        ignore_vary: ignored.iter().filter_map(ignorable).collect(),
        wishes: if honoured { Wishes::Honoured } else { Wishes::Passed },
    }
}

/// A field on which answers may be said not to differ.
fn ignorable(value: &Value<'_>) -> Option<HeaderName> {
    let text = value.text()?;
    let name = field_name(text, &value.place)?;
    let why = match name {
        _ if name.as_str() == "*" => "no field is called so, and what varies on everything cannot be stored",
        ACCEPT_ENCODING => "a viewer who cannot decode it would get what another one asked for",
        AUTHORIZATION => "what may be shared in spite of it is the origin's to say, by `public` or `s-maxage`",
        RANGE => "ranges are answered from the whole, whatever Vary says",
        _ => return Some(name),
    };
    let complaint = Complaint::new(why).found(value.place.typed());
    value.place.refuse(complaint.accepted("names of fields like \"origin\", \"user-agent\"").remedy("remove it"));
    None
}
