//! What `GET /explain` answers, and how it reads on a terminal. Every field may be missing.

use serde::Deserialize;

use super::answers::{list, plain, row};
use super::summary::count;

/// `GET /explain`, as JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Explanation {
    url: String,
    route: Option<String>,
    class: Option<String>,
    sharing: Option<String>,
    key: Option<String>,
    left_out: Vec<String>,
    origin: Option<String>,
    owner: Option<String>,
    origin_url: Option<String>,
    origin_terms: Vec<String>,
    lifetime: Option<String>,
    limits: Vec<String>,
    because: Option<String>,
    dropped: Vec<String>,
    directives: Option<String>,
    stored: Stored,
    verdict: String,
    refusal: Option<String>,
    access: Option<Access>,
}

/// What an access says of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Access {
    name: String,
    cut: Vec<String>,
    verdict: String,
    session: Option<String>,
}

impl Access {
    fn rows(&self, text: &mut String) {
        row(text, "access", &plain(&self.name));
        row(text, "  cut", &list(self.cut.iter().map(|cut| plain(cut))));
        row(text, "  verdict", &plain(&self.verdict));
        row(text, "  session", &plain(self.session.as_deref().unwrap_or_default()));
    }
}

/// What is stored, and what is under way.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stored {
    variants: Vec<Variant>,
    fills: Vec<Fill>,
    hit_for_miss: bool,
    purge: Option<String>,
    on_disk: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Variant {
    place: String,
    generation: u64,
    status: u16,
    octets: u64,
    age_seconds: u64,
    ttl_seconds: i64,
    fresh: bool,
    lifetime: String,
    vary: Vec<String>,
    validators: Vec<String>,
    tags: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fill {
    readers: u64,
    arrived: u64,
    length: Option<u64>,
    stores: bool,
}

impl Stored {
    fn rows(&self, text: &mut String) {
        self.variants.iter().for_each(|variant| variant.rows(text));
        for fill in &self.fills {
            let of = fill.length.map(|length| format!(" of {length}")).unwrap_or_default();
            let stores = if fill.stores { "is stored then" } else { "is not stored" };
            let readers = count(fill.readers as usize, "reader");
            row(text, "being fetched", &format!("{}{of} octets for {readers}; {stores}", fill.arrived));
        }
        if self.hit_for_miss {
            row(text, "hit for miss", "for a while each request asks the origin for itself");
        }
        row(text, "being purged", &plain(self.purge.as_deref().unwrap_or_default()));
        if self.on_disk == Some(true) {
            row(text, "on disk", "yes");
        }
    }
}

impl Variant {
    fn rows(&self, text: &mut String) {
        let state = if self.fresh { "fresh" } else { "stale" };
        let generation = match self.generation {
            0 => String::new(),
            generation => format!(", generation {generation}"),
        };
        let facts = format!(
            "{} of {} octets in {}{generation}, {} s old, {state} with {} s left",
            self.status,
            self.octets,
            plain(&self.place),
            self.age_seconds,
            self.ttl_seconds
        );
        row(text, "stored", &facts);
        row(text, "  lifetime", &plain(&self.lifetime));
        row(text, "  vary", &list(self.vary.iter().map(|field| plain(field))));
        row(text, "  validators", &list(self.validators.iter().map(|value| plain(value))));
        row(text, "  tags", &list(self.tags.iter().map(|value| plain(value))));
    }
}

impl Explanation {
    /// Whether the node would answer with something else than a refusal.
    pub(super) fn is_served(&self) -> bool {
        self.refusal.is_none()
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", plain(&self.url));
        for (name, fact) in [
            ("route", &self.route),
            ("class", &self.class),
            ("because", &self.because),
            ("sharing", &self.sharing),
            ("key", &self.key),
            ("origin", &self.origin),
            ("asked by", &self.owner),
            ("asked for", &self.origin_url),
            ("directives", &self.directives),
            ("lifetime", &self.lifetime),
        ] {
            row(&mut text, name, &plain(fact.as_deref().unwrap_or_default()));
        }
        row(&mut text, "origin", &list(self.origin_terms.iter().map(|term| plain(term))));
        row(&mut text, "not in the key", &list(self.left_out.iter().map(|name| plain(name))));
        row(&mut text, "of the origins", &list(self.origin_terms.iter().map(|term| plain(term))));
        row(&mut text, "dropped", &list(self.dropped.iter().map(|name| plain(name))));
        self.stored.rows(&mut text);
        if let Some(access) = &self.access {
            access.rows(&mut text);
        }
        row(&mut text, "limits", &list(self.limits.iter().map(|limit| plain(limit))));
        row(&mut text, "verdict", &plain(&self.verdict));
        row(&mut text, "refusal", &plain(self.refusal.as_deref().unwrap_or_default()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_leaves_out_what_is_not_known() {
        let explanation: Explanation = serde_json::from_str(
            r#"{"url":"http://a/x","route":"live","key":"k","left_out":["cookie"],"verdict":"would be served"}"#,
        )
        .unwrap();
        assert_eq!(
            explanation.text(),
            "http://a/x
  route            live
  key              k
  not in the key   cookie
  verdict          would be served
"
        );
    }

    #[test]
    fn what_an_access_says_is_told() {
        let explanation: Explanation = serde_json::from_str(
            r#"{"url":"http://a/x","access":{"name":"members","cut":["token in Authorization: eyJh.1b2c"],
                "verdict":"the token opens it","session":"00"},"verdict":"would be served"}"#,
        )
        .unwrap();
        assert_eq!(
            explanation.text(),
            "http://a/x
  access           members
    cut            token in Authorization: eyJh.1b2c
    verdict        the token opens it
    session        00
  verdict          would be served
"
        );
    }

    #[test]
    fn what_is_stored_is_told_variant_by_variant() {
        let explanation: Explanation = serde_json::from_str(
            r#"{"url":"http://a/x","directives":"_HLS_msn=7","dropped":["CMCD","x\u001b"],"verdict":"sent","stored":{
                "variants":[
                {"place":"memory","generation":2,"status":200,"octets":10,"age_seconds":3,"ttl_seconds":57,"fresh":true,
                "lifetime":"max-age=60 in cache-control","vary":["accept-encoding: gzip"],"validators":["\"1\""],
                "tags":["news, one"]},
                {"place":"memory","status":200,"octets":9,"age_seconds":70,"ttl_seconds":-10,"lifetime":"expires"}],
                "fills":[{"readers":1,"arrived":5,"length":10,"stores":true}],
                "hit_for_miss":true,"purge":"soft","on_disk":true}}"#,
        )
        .unwrap();
        assert_eq!(
            explanation.text(),
            "http://a/x
  directives       _HLS_msn=7
  dropped          CMCD, x\\u{1b}
  stored           200 of 10 octets in memory, generation 2, 3 s old, fresh with 57 s left
    lifetime       max-age=60 in cache-control
    vary           accept-encoding: gzip
    validators     \"1\"
    tags           news, one
  stored           200 of 9 octets in memory, 70 s old, stale with -10 s left
    lifetime       expires
  being fetched    5 of 10 octets for 1 reader; is stored then
  hit for miss     for a while each request asks the origin for itself
  being purged     soft
  on disk          yes
  verdict          sent
"
        );
    }
}
