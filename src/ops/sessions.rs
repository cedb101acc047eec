//! `weir revoke`: what is taken back on a running node.

use std::io::{self, Write};

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::answers::{plain, row};
use super::client::{Node, shown};
use super::{Outcome, RevokeArguments};
use crate::clock::{Clock, WallTime};
use crate::config::value::write_time;
use crate::rules::fields::date;

/// `POST /revoke`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Revoked {
    sessions_ended: u64,
    known: bool,
    until: u64,
    durable: bool,
    warning: Option<String>,
}

impl Revoked {
    /// `what` says what was meant.
    fn text(&self, what: &str) -> String {
        let again = if self.known { ", as it was before" } else { "" };
        let mut text = format!("{} is revoked{again}\n", plain(what));
        row(&mut text, "sessions ended", &self.sessions_ended.to_string());
        row(&mut text, "until", &moment(self.until));
        row(&mut text, "restart", if self.durable { "remembers it" } else { "forgets it" });
        if let Some(warning) = &self.warning {
            row(&mut text, "warning", &plain(warning));
        }
        text
    }
}

fn moment(seconds: u64) -> String {
    let date = date::format(WallTime::at(std::time::Duration::from_secs(seconds)));
    date.to_str().unwrap_or_default().to_owned()
}

/// `weir revoke`
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn revoke(
    arguments: &RevokeArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let RevokeArguments { access, session, subject, token_id, kid, issuer, issued_before, all: _, time, node } =
        arguments;
    let texts = [("session", session), ("subject", subject), ("token_id", token_id), ("kid", kid), ("issuer", issuer)];
    let mut body = json!({ "access": access, "for": time.map(write_time) });
    let text = texts.into_iter().find_map(|(kind, text)| Some((kind, text.as_ref()?)));
    let what = match (text, issued_before) {
        (Some((kind, text)), _) => {
            body[kind] = text.as_str().into();
            format!("{} {text}", kind.replace('_', " "))
        }
        (None, Some(before)) => {
            body["issued_before"] = (*before).into();
            format!("what was issued before {}", moment(*before))
        }
        (None, None) => {
            body["all"] = true.into();
            "everything".to_owned()
        }
    };
    let what = format!("{what} of {access}");
    let ask = async { Node::of(node, clock)?.ok(Method::POST, "/revoke", &body.to_string()).await };
    let show = |answer: &Revoked| (answer.text(&what), Outcome::Good);
    shown(ask.await, node, show, out, complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_says_what_it_came_to() {
        let text = |json: &str| serde_json::from_str::<Revoked>(json).unwrap().text("subject al\u{1b}ice of members");
        assert_eq!(
            text(r#"{"sessions_ended":2,"known":false,"until":1700000000,"durable":true}"#),
            "subject al\\u{1b}ice of members is revoked
  sessions ended   2
  until            Tue, 14 Nov 2023 22:13:20 GMT
  restart          remembers it
"
        );
        let forgotten = text(r#"{"known":true,"durable":false,"warning":"set `state`"}"#);
        assert!(forgotten.contains("as it was before") && forgotten.contains("forgets it"), "{forgotten}");
        assert!(forgotten.contains("set `state`"), "{forgotten}");
    }
}
