//! Claims × request × now → Grant, or the reason why not. Only this file makes a grant.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method};

use super::scope::Asked;

/// What is asked of every token of an access, beside what the token says itself.
#[derive(Clone, Debug, Default)]
pub struct Terms<'a> {
    /// Issuers that are known; empty: any.
    pub issuers: &'a [Box<str>],
    /// Who this node is to issuers; `None`: not asked for.
    pub audience: Option<&'a str>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// How long a token may still live at most; `None`: as long as it says.
    pub max_lifetime: Option<Duration>,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What is asked for.
    pub asked: Asked<'a>,
    /// The method.
    pub method: &'a Method,
    /// The viewer's own address, IPv4 where it is one in IPv6's form.
    pub address: IpAddr,
    /// The ALPN identifier of the connection, where the node ends it; `None`: not known.
    pub alpn: Option<&'a str>,
    /// The viewer's country (ISO 3166-1, upper case), perhaps with a subdivision (`US-CA`); `None`: not known.
    pub country: Option<&'a str>,
    /// The request's fields.
    pub headers: &'a HeaderMap,
}
