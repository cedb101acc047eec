//! Which parameters of a viewer's query name a different playlist or object, and go upstream.

use std::borrow::Cow;

use crate::rules::uri::{Strictness, Target};

/// Parameters by which packagers are asked for another time: catch-up, delayed streams.
pub const OF_PACKAGERS: [&str; 3] = ["start", "end", "time_delay"];
/// What the names of further such parameters begin with.
pub const PACKAGER_PREFIX: &str = "aws.";

/// What is left of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<'q> {
    /// The parameters that count, sorted by name; those of one name keep their order.
    pub query: Option<Cow<'q, str>>,
    /// How many were dropped.
    pub dropped: usize,
}

/// Keeps what packagers use and what `keeps` wants by its canonical name.
pub fn keep<'q>(query: Option<&'q str>, keeps: impl Fn(&str) -> bool) -> Kept<'q> {
    let Some(query) = query else { return Kept { query: None, dropped: 0 } };
    let named =
        query.split('&').filter(|parameter| !parameter.is_empty()).map(|parameter| (name(parameter), parameter));
    let (mut kept, dropped): (Vec<_>, Vec<_>) = named.partition(|(name, _)| is_of_packagers(name) || keeps(name));
    let is_sorted = kept.is_sorted_by(|(one, _), (other, _)| one <= other);
    if !is_sorted {
        kept.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    let octets = kept.iter().map(|(_, parameter)| parameter.len() + 1).sum::<usize>();
    let query = match kept.is_empty() {
        true => None,
        // Nothing is left out, not even an empty parameter.
        false if is_sorted && octets == query.len() + 1 => Some(Cow::Borrowed(query)),
        false => Some(Cow::Owned(kept.iter().map(|(_, parameter)| *parameter).collect::<Vec<_>>().join("&"))),
    };
    Kept { query, dropped: dropped.len() }
}

fn is_of_packagers(name: &str) -> bool {
    OF_PACKAGERS.contains(&name) || name.starts_with(PACKAGER_PREFIX)
}

/// The canonical name of a parameter.
pub(super) fn name(parameter: &str) -> Cow<'_, str> {
    canonical(parameter.split_once('=').map_or(parameter, |(name, _)| name))
}

/// The canonical form of a piece of a query; what has none stays as it is. A query with a broken escape somewhere has
/// no canonical form as a whole, but each of its parameters has.
pub(super) fn canonical(piece: &str) -> Cow<'_, str> {
    if !piece.contains('%') {
        return Cow::Borrowed(piece);
    }
    match Target::canonical("/", Some(piece), Strictness::Lenient) {
        Ok(target) => target.query.unwrap_or_default(),
        Err(_) => Cow::Borrowed(piece),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_names_another_playlist_stays_and_the_rest_is_counted() {
        let keeps = |name: &str| matches!(name, "token" | "id" | "Zone" | "a b" | "a%20b");
        for (query, kept, dropped) in [
            ("", None, 0),
            ("&&", None, 0),
            ("x=1", None, 1),
            ("start=1", Some("start=1"), 0),
            ("start=1&end=2&time_delay=3", Some("end=2&start=1&time_delay=3"), 0),
            ("id=2&CMCD=br%3D1&aws.manifestfilter=x&x", Some("aws.manifestfilter=x&id=2"), 2),
            ("id=b&id=a", Some("id=b&id=a"), 0),
            ("token=1&id=2&Zone=3", Some("Zone=3&id=2&token=1"), 0),
            ("id&", Some("id"), 0),
            ("&id", Some("id"), 0),
            ("id&&token", Some("id&token"), 0),
            ("=1", None, 1),
            ("starts=1&aws=1&Start=1", None, 3),
            ("%73tart=1&%69d=2", Some("%69d=2&%73tart=1"), 0),
            ("a%20b=1", Some("a%20b=1"), 0),
            ("id=%zz&CMC%44=1", Some("id=%zz"), 1),
            ("id=a=b", Some("id=a=b"), 0),
        ] {
            let found = keep(Some(query), keeps);
            assert_eq!((found.query.as_deref(), found.dropped), (kept, dropped), "{query}");
        }
        assert_eq!(keep(None, |_| true), Kept { query: None, dropped: 0 });
    }

    #[test]
    fn a_query_that_stays_is_not_copied() {
        let kept = keep(Some("aws.x=1&end=2&id=3"), |name| name == "id");
        assert!(matches!(kept.query, Some(Cow::Borrowed("aws.x=1&end=2&id=3"))));
    }

    proptest! {
        #[test]
        fn keeping_twice_changes_nothing_and_the_order_of_names_means_nothing(
            mut parameters in proptest::collection::vec("(start|end|x|id|%69d|aws\\.a)(=[a-z0-9%]{0,3})?", 0..8),
        ) {
            let keeps = |name: &str| name == "id";
            let query = parameters.join("&");
            let once = keep(Some(&query), keeps);
            let again = keep(once.query.as_deref(), keeps);
            prop_assert_eq!(&again.query, &once.query);
            prop_assert_eq!(again.dropped, 0);
            // A stable sort by name is one of the orders in which a player may send the same.
            parameters.sort_by_key(|parameter| name(parameter).into_owned());
            let sorted = parameters.join("&");
            prop_assert_eq!(&keep(Some(&sorted), keeps), &once);
        }
    }
}
