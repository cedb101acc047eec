//! Variable substitution (§4.3, §4.4.2.3).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::playlist::Definition;
use super::query;

/// The variables of a playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(Vec<(Box<str>, Box<str>)>);

/// The most variables of a playlist; what is defined beyond them is not known.
const VARIABLES_MAX: usize = 256;
/// The most octets of a value or of a URI with its values. Values may hold the values of earlier variables, and would
/// otherwise double with every definition.
const EXPANDED_MAX: usize = 16 << 10;

impl Variables {
    /// The variables that `definitions` make, in a playlist that was asked for with `query` and belongs to a
    /// multivariant playlist with the variables `imported`. Those that cannot be resolved are left out.
    pub fn of<'d>(
        definitions: impl IntoIterator<Item = &'d Definition>,
        query: Option<&str>,
        imported: &Variables,
    ) -> Self {
        let mut variables = Self::default();
        for definition in definitions {
            let (name, value) = match definition {
                Definition::Value(name, value) => (name, variables.replace(value)),
                Definition::Import(name) => (name, imported.value(name).map(Cow::Borrowed)),
                Definition::QueryParameter(name) => (name, query.and_then(|query| parameter(query, name))),
            };
            let is_new = variables.value(name).is_none() && variables.0.len() < VARIABLES_MAX;
            if let Some(value) = value.filter(|value| is_new && value.len() <= EXPANDED_MAX) {
                let value = value.into();
                variables.0.push((name.clone(), value));
            }
        }
        variables
    }

    /// `uri` with every `{$name}` replaced; `None` where one is not known. Values are not looked into.
    pub fn replace<'u>(&self, uri: &'u str) -> Option<Cow<'u, str>> {
        let (mut replaced, mut rest) = (String::new(), uri);
        while let Some((before, name, behind)) = reference(rest) {
            replaced.push_str(before);
            replaced.push_str(self.value(name)?);
            if replaced.len() > EXPANDED_MAX {
                return None;
            }
            rest = behind;
        }
        if rest.len() == uri.len() {
            return Some(Cow::Borrowed(uri));
        }
        replaced.push_str(rest);
        (replaced.len() <= EXPANDED_MAX).then_some(Cow::Owned(replaced))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }
}

/// Whether something in `uri` looks like a variable.
pub(super) fn are_in(uri: &str) -> bool {
    uri.contains(BEGIN)
}

/// What a reference begins with.
const BEGIN: &str = "{$";

/// The first reference: what stands before it, the name, and what stands behind it. What has no name is no reference.
fn reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let begin = from + text[from..].find(BEGIN)?;
        from = begin + BEGIN.len();
        let name = &text[from..];
        let length = name.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))).unwrap_or(name.len());
        if let Some(behind) = name[length..].strip_prefix('}').filter(|_| length > 0) {
            return Some((&text[..begin], &name[..length], behind));
        }
    }
}

/// The decoded value of the parameter `name`; `None` where there is none, or no text in it.
fn parameter<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let parameter = query.split('&').find(|parameter| query::name(parameter) == name)?;
    let (_, value) = parameter.split_once('=').filter(|(_, value)| !value.is_empty())?;
    percent_decode_str(value).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(name: &str, value: &str) -> Definition {
        Definition::Value(name.into(), value.into())
    }

    fn import(name: &str) -> Definition {
        Definition::Import(name.into())
    }

    fn parameter(name: &str) -> Definition {
        Definition::QueryParameter(name.into())
    }

    fn of(definitions: &[Definition]) -> Variables {
        Variables::of(definitions, None, &Variables::default())
    }

    #[test]
    fn references_are_replaced_by_what_was_defined() {
        let variables = of(&[value("a", "1"), value("b-B_2", "x/y"), value("empty", ""), value("look", "{$a")]);
        for (uri, replaced) in [
            ("", Some("")),
            ("seg.ts", Some("seg.ts")),
            ("{$a}", Some("1")),
            ("https://{$b-B_2}/{$a}{$a}.ts", Some("https://x/y/11.ts")),
            ("[{$empty}]", Some("[]")),
            ("{$A}", None),
            ("{$a}{$c}", None),
            ("{$}", Some("{$}")),
            ("{$a", Some("{$a")),
            ("{$a b}", Some("{$a b}")),
            ("{a}$a", Some("{a}$a")),
            ("{${$a}}", Some("{$1}")),
            ("{$look}}", Some("{$a}")),
            ("{$ä}", Some("{$ä}")),
        ] {
            assert_eq!(variables.replace(uri).as_deref(), replaced, "{uri}");
        }
        assert!(matches!(variables.replace("{$"), Some(Cow::Borrowed("{$"))));
    }

    #[test]
    fn values_come_from_the_playlist_the_multivariant_and_the_url() {
        let multivariant = of(&[value("host", "a.example"), value("own", "outer")]);
        let definitions = [
            import("host"),
            import("missing"),
            parameter("token"),
            parameter("none"),
            parameter("empty"),
            value("own", "{$host}/{$token}"),
        ];
        let variables = Variables::of(&definitions, Some("x=1&tok%65n=%C3%A9%26&token=2&empty=&none"), &multivariant);
        for (name, known) in [
            ("host", Some("a.example")),
            ("token", Some("é&")),
            ("own", Some("a.example/é&")),
            ("missing", None),
            ("none", None),
            ("empty", None),
            ("x", None),
        ] {
            assert_eq!(variables.value(name), known, "{name}");
        }
        assert_eq!(Variables::of(&[parameter("a")], Some("a=%FF"), &multivariant), Variables::default());
        assert_eq!(Variables::of(&[parameter("a")], None, &multivariant), Variables::default());
    }

    #[test]
    fn a_variable_is_defined_once_and_before_it_is_used() {
        let variables = of(&[value("late", "{$a}"), value("a", "1"), value("a", "2")]);
        assert_eq!(variables.replace("{$a}").as_deref(), Some("1"));
        assert_eq!(variables.replace("{$late}"), None);
    }

    #[test]
    fn what_would_double_without_end_is_not_known() {
        let mut definitions = vec![value("v0", "0123456789abcdef")];
        definitions.extend((1..100).map(|n| value(&format!("v{n}"), &format!("{{$v{}}}{{$v{}}}", n - 1, n - 1))));
        let variables = of(&definitions);
        assert_eq!(variables.replace("{$v10}").map(|value| value.len()), Some(EXPANDED_MAX));
        assert_eq!(variables.replace("{$v10}0"), None);
        assert_eq!(variables.replace("{$v11}"), None);
        assert_eq!(variables.replace(&"{$v10}".repeat(100_000)), None);
        let many: Vec<_> = (0..2 * VARIABLES_MAX).map(|n| value(&format!("v{n}"), "")).collect();
        assert_eq!(of(&many).0.len(), VARIABLES_MAX);
    }

    proptest! {
        #[test]
        fn what_has_no_reference_stays(uri in "[{$}a-]{0,12}") {
            let variables = of(&[value("a", "{$a}")]);
            if let Some(replaced) = variables.replace(&uri) {
                prop_assert!(reference(&uri).is_some() || replaced == uri);
            }
            prop_assert!(reference(&uri).is_none() || are_in(&uri));
        }
    }
}
