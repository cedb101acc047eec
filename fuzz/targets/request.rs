//! Where a request goes, and what it presents.

use http::HeaderName;
use weir::rules::token::carrier;
use weir::rules::token::carrier::{Carrier, CarrierNames, Packages, Presented};
use weir::rules::uri::{PathPattern, Strictness, Target};

use super::fields;

/// The canonical form is a form of itself, and what the strict reading accepts the lenient one reads the same.
pub fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let [strict, lenient] = [Strictness::Strict, Strictness::Lenient].map(|strictness| {
        let once = Target::canonical(path, query, strictness);
        if let Ok(once) = &once {
            assert_eq!(Target::canonical(&once.path, once.query.as_deref(), strictness).as_ref(), Ok(once));
            assert!(once.path.starts_with('/') && once.path_and_query().is_ascii());
        }
        once
    });
    if strict.is_ok() {
        assert_eq!(strict, lenient);
    }
    _ = PathPattern::parse(text);
}

/// What a request presents is cut out of it, whatever it is, and nothing of it is left for keys, origins and logs: the
/// first line is a target, the others are fields.
pub fn carrier(data: &[u8]) {
    let end = data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len());
    let Ok(target) = std::str::from_utf8(&data[..end]) else { return };
    let mut headers = fields(data.get(end + 1..).unwrap_or_default());
    let own = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    let names = CarrierNames {
        query: own(["token", "URISigningPackage"]),
        cookie: own(["token", "URISigningPackage"]),
        header: vec![HeaderName::from_static("cta-common-access-token")],
    };
    let order = [Carrier::Path, Carrier::Header, Carrier::Cookie, Carrier::Query];
    let terms = carrier::Terms { order: &order, names: &names, packages: Packages::InPath };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let (mut path, mut query) = (path.to_owned(), query.map(str::to_owned));
    let logged = carrier::loggable_path(&path).into_owned();
    let parted = carrier::in_path(&path).map(|parted| (parted.whole(), parted.credential));
    let carried = parted.map(|(whole, credential)| {
        assert!(credential.text.len() < 24 || !logged.contains(&*credential.text));
        path = whole;
        credential
    });
    let request = carrier::Request { path: &mut path, query: &mut query, headers: &mut headers };
    let presented = carrier::cut(request, carried, &terms);
    if let Ok(presented) = &presented {
        assert!(presented.first.is_some() || presented.second.is_none());
        assert!(presented.first.as_ref().is_none_or(|first| first.text.len() <= carrier::LARGEST));
    }
    // What was cut has nothing more to cut of its names.
    let (path_before, query_before, headers_before) = (path.clone(), query.clone(), headers.clone());
    let request = carrier::Request { path: &mut path, query: &mut query, headers: &mut headers };
    assert_eq!(carrier::cut(request, None, &terms), Ok(Presented::default()));
    assert_eq!((path, query, headers), (path_before, query_before, headers_before));
}
