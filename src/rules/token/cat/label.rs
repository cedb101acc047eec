//! The labels of claims (RFC 8392 §4, CTA-5007).

pub const ISS: i128 = 1;
pub const SUB: i128 = 2;
pub const AUD: i128 = 3;
pub const EXP: i128 = 4;
pub const NBF: i128 = 5;
pub const IAT: i128 = 6;
pub const CTI: i128 = 7;
pub const CATREPLAY: i128 = 308;
pub const CATV: i128 = 310;
pub const CATNIP: i128 = 311;
pub const CATU: i128 = 312;
pub const CATM: i128 = 313;
pub const CATALPN: i128 = 314;
pub const CATH: i128 = 315;
pub const CATGEOISO3166: i128 = 316;
pub const CATIFDATA: i128 = 320;
pub const CATIF: i128 = 322;
pub const CATR: i128 = 323;

/// Claims that are known and not judged here, with what is said of them.
pub const REFUSED: [(i128, &str); 9] = [
    (8, "cnf: tokens that are bound to a key are not accepted"),
    (282, "geohash: areas are not judged here; bind the token to countries (catgeoiso3166)"),
    (309, "catpor: refusal by lot is not done here"),
    (317, "catgeocoord: areas are not judged here; bind the token to countries (catgeoiso3166)"),
    (318, "catgeoalt: heights are not judged here"),
    (319, "cattpk: tokens that are bound to a key are not accepted"),
    (321, "catdpop: tokens that are bound to a key are not accepted"),
    (324, "cattprint: prints of TLS clients are not judged here"),
    (9, "scope: not judged here"),
];

/// Whether a label is one of an earlier draft, under which an older library still signs. What it restricts is restricted
/// by another label now; whoever passed it over would turn that off.
pub const fn is_of_draft(label: i128) -> bool {
    matches!(label, 41..=43 | 267 | 269..=275 | 277..=281 | 283)
}
