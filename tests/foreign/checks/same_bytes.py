"""curl and aioquic ask for the same things over HTTP/1.1, 2 and 3: the octets are the same."""

import hashlib

from kit import h3
from kit.curl import H1, H2, H2_CLEARTEXT, curl
from . import check

BLOB = "/blob/same?size=2000000"
OBJECTS = ["/vod/master.m3u8", "/vod/v0/media.m3u8", "/vod/v0/init.mp4", "/vod/v0/seg-3.m4s", BLOB]


def ways(demo):
    """Name, version on the wire, and how to ask: path, method, fields → status, field lookup, body."""
    def by_curl(base, *flags):
        def ask(path, method="GET", fields=()):
            flags_of_method = ["--head"] if method == "HEAD" else []
            headers = [flag for name, value in fields for flag in ("--header", f"{name}: {value}")]
            answer = curl(base + path, "--cacert", demo.ca, *flags, *flags_of_method, *headers)
            assert answer.code == 0, f"curl ended with {answer.code}"
            return answer.status, lambda name: answer.fields.get(name, [None])[0], answer.body, answer.version
        return ask

    def by_aioquic(path, method="GET", fields=()):
        answer = h3.fetch(demo.page_https + path, demo.ca, method, fields)
        assert answer.ended, f"reset with {answer.reset}"
        return answer.status, answer.field, answer.body, "HTTP/3"
    return [
        ("HTTP/1.1", "HTTP/1.1", by_curl(demo.page, *H1)),
        ("HTTP/1.1 over TLS", "HTTP/1.1", by_curl(demo.page_https, *H1)),
        ("HTTP/2", "HTTP/2", by_curl(demo.page_https, *H2)),
        ("HTTP/2 in clear", "HTTP/2", by_curl(demo.page, *H2_CLEARTEXT)),
        ("HTTP/3", "HTTP/3", by_aioquic),
    ]


@check
def the_same_bytes_over_every_protocol(bench):
    for path in OBJECTS:
        seen = {}
        for name, version, ask in ways(bench.demo):
            status, field, body, spoken = ask(path)
            assert (status, spoken) == (200, version), f"{name} {path}: {status} {spoken}"
            assert int(field("content-length") or len(body)) == len(body), f"{name} {path}: {field('content-length')}"
            assert field("cache-status") and field("via"), f"{name} {path}: {field('cache-status')}, {field('via')}"
            seen[name] = (len(body), hashlib.sha256(body).hexdigest())
        assert len(set(seen.values())) == 1, f"{path}: {seen}"
        assert path != BLOB or len(body) == 2_000_000


@check
def ranges_and_heads_over_every_protocol(bench):
    whole = ways(bench.demo)[0][2](BLOB)[2]
    size = len(whole)
    ranges = {
        "bytes=0-": (0, size), "bytes=100-199": (100, 200), "bytes=-500": (size - 500, size),
        f"bytes={size - 1}-": (size - 1, size), "bytes=1999000-99999999": (1_999_000, size),
    }
    for name, _, ask in ways(bench.demo):
        for asked, (begin, end) in ranges.items():
            status, field, body, _ = ask(BLOB, fields=[("range", asked)])
            assert (status, body == whole[begin:end]) == (206, True), f"{name} {asked}: {status}, {len(body)} octets"
            assert field("content-range") == f"bytes {begin}-{end - 1}/{size}", f"{name} {asked}: {field('content-range')}"
        status, field, body, _ = ask(BLOB, fields=[("range", f"bytes={size}-")])
        assert (status, field("content-range")) == (416, f"bytes */{size}"), f"{name}: {status} {field('content-range')}"
        status, field, body, _ = ask(BLOB, method="HEAD")
        assert (status, body, field("content-length")) == (200, b"", str(size)), f"{name} HEAD: {status}, {len(body)} octets"
        status, field, _, _ = ask("/vod/v0/seg-3.m4s")
        validator = field("etag")
        if validator:
            status, _, body, _ = ask("/vod/v0/seg-3.m4s", fields=[("if-none-match", validator)])
            assert (status, body) == (304, b""), f"{name}: {status} for its own entity tag"

