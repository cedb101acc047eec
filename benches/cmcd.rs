//! Reading what players report: batches of events, and requests with and without CMCD.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use http::{HeaderMap, HeaderName, HeaderValue};
use weir::rules::qoe::cmcd::{FIELDS, from_batch, from_request};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STATE: &str = r#"e=ps,sid="6e2fb550-c457-11e9-bb97-0800200c9a66",sn=17,sta=p,ts=1720000000123,v=2"#;
const FULL: &str = r#"bl=(2000),br=(5000;v 128;a),bsa=(2),cid="show",e=t,ltc=3200,mtp=(18200),pb=(5000;v),pt=1720000000000,sf=h,sid="9f2c",sn=17,st=ll,sta=p,tb=(8000;v),ts=1720000000123,v=2"#;
const QUERY: &str = "_HLS_msn=4&CMCD=bl%3D21300%2Cbr%3D3200%2Ccid%3D%22faec5fc2%22%2Cd%3D4004%2Cmtp%3D48100%2Cnor%3D%22..%252Fa.m4v%22%2Cot%3Dv%2Csf%3Dh%2Csid%3D%226e2fb550%22%2Cst%3Dl%2Ctb%3D6000";

fn main() {
    divan::main();
}

#[divan::bench(args = [STATE, FULL])]
fn batch_of_300(bencher: Bencher, line: &str) {
    let body = vec![line; 300].join("\n");
    let read = || from_batch(black_box(body.as_bytes())).filter(|(_, read)| read.is_ok()).count();
    bencher.counter(ItemsCount::new(300_usize)).bench_local(read);
}

#[divan::bench(args = ["_HLS_msn=4&_HLS_part=2", QUERY])]
fn request(bencher: Bencher, query: &str) {
    let names = ["host", "user-agent", "accept", "range", "origin", "referer"].map(HeaderName::from_static);
    let headers: HeaderMap = names.into_iter().map(|name| (name, HeaderValue::from_static("x"))).collect();
    bencher.bench_local(|| from_request(Some(black_box(query)), black_box(&headers)));
}

#[divan::bench]
fn request_with_fields(bencher: Bencher) {
    let values = ["bl=21300,mtp=25400,su", "br=3200,d=4004,ot=v", "bs,rtp=15000", "sf=h,sid=\"6e2fb550\",st=l"];
    let pairs = FIELDS.into_iter().zip(values.map(HeaderValue::from_static));
    let headers: HeaderMap = pairs.collect();
    bencher.bench_local(|| from_request(None, black_box(&headers)));
}
