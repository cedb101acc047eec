//! Common Media Client Data of both versions (CTA-5004, CTA-5004-B): with a request, in its fields or its query, and in
//! batches of events. What is wrong is dropped key by key, or field by field where it breaks the grammar of structured
//! fields; it is counted, and never a reason to refuse anything.

use http::HeaderMap;

use super::fault::Fault;
use super::read::Read;

/// The query parameter; its case matters (CTA-5004-B §3.2).
pub const PARAMETER: &str = "CMCD";
/// The four request fields (CTA-5004-B §3.1).
pub const FIELDS: [&str; 4] = ["cmcd-request", "cmcd-object", "cmcd-status", "cmcd-session"];
/// The most octets of a record.
pub const LONGEST_RECORD: usize = 4 << 10;
/// The most records of a body.
pub const MOST_RECORDS: usize = 500;

/// What a request says; `None`: neither fields nor the parameter are there. Where there are fields, the parameter says
/// nothing; of several parameters the first counts.
pub fn from_request(query: Option<&str>, headers: &HeaderMap) -> Option<Read> {
    _ = (query, headers);
    None
}

/// The records of a body, each as it was sent (without blanks at its ends) with what it says, or why it is dropped.
pub fn from_batch(body: &[u8]) -> impl Iterator<Item = (&[u8], Result<Read, Fault>)> {
    let _ = body;
    std::iter::empty()
}
