//! One version of a media playlist as it goes out: each form (full, delta, gzip) is made once, at first demand, with
//! its head, and shared by all viewers. Long playlists are put together from blocks that do not change.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::clock::Tick;
use crate::rules::hls::{Published, Skipping};

/// A version of a media playlist.
pub struct Edition {
    /// What viewers see.
    pub published: Arc<Published>,
    /// The origin's fields that go on to viewers: nothing about caching, cookies, validators or coding.
    pub headers: HeaderMap,
}

/// In which form a version is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    /// A delta update, where one can be made.
    pub skipping: Option<Skipping>,
    /// The content coding.
    pub coding: Coding,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// None.
    Identity,
    /// gzip.
    Gzip,
}

/// A form, ready to be sent.
pub struct Rendered {
    /// Its fields: Content-Type, Content-Length, Content-Encoding, ETag, Vary, Cache-Control.
    pub headers: HeaderMap,
    /// Its octets, in order.
    pub chunks: Arc<[Bytes]>,
    /// How many there are.
    pub length: u64,
}

impl Edition {
    /// A version, of which no form is made yet; `before` is the one that it follows, whose blocks it shares.
    pub fn new(_published: Arc<Published>, _headers: HeaderMap, _before: Option<&Edition>) -> Self {
        unimplemented!("edition")
    }

    /// A form of it, with the rendition reports that `siblings` (a stamp, and what makes them) say at this moment.
    pub fn form(
        &self,
        _form: Form,
        _stamp: u64,
        _siblings: impl FnOnce() -> Vec<crate::rules::hls::reports::Sibling>,
        _now: Tick,
    ) -> Arc<Rendered> {
        unimplemented!("edition")
    }
}
