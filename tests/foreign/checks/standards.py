"""The public suite of HTTP caching tests judges a node that stands before its origin: every test that asks for something is
met, but for those that are named here, each with the reason. Tests that only look (`check`) have no right answer."""

import json

from kit import weir
from kit.processes import Process, executable, free_port, run, until
from . import check

SUITE = weir.ROOT / "node_modules/http-cache-tests"

# The suite's lifetimes are seconds, which a busy machine may lose: a test that comes to something else is judged again.
TRIES = 3

# What is not met, and why. A test that begins to pass, or to fail, fails the check.
NOT_MET = {
    "headers-store-Content-Length":
        "the origin sends more octets than it announces: such an answer is refused, for nobody knows what it is",
    "headers-store-Transfer-Encoding":
        "the origin names a transfer coding that does not exist: its octets cannot be decoded (RFC 9112 §6.1)",
    "conditional-lm-fresh-no-lm":
        "what is stored is younger than the moment that the viewer names: it has changed since (RFC 9111 §4.3.2)",
    "partial-store-partial-reuse-partial":
        "the origin announces six octets and sends five: the last one that is asked for has not come",
    "partial-store-partial-reuse-partial-absent":
        "the same: what is asked for ends with an octet that has not come",
    "partial-store-partial-reuse-partial-suffix":
        "the same: the octet that is asked for has not come",
    "partial-store-partial-complete":
        "the stored part has no validator, so nothing could be put together with it (RFC 9110 §15.3.7.3)",
    "304-etag-update-response-Content-Length":
        "as the first: more octets than are announced",
    "304-etag-update-response-ETag":
        "the 304 names a tag that nobody asked about: nothing is updated, and the whole is asked for (RFC 9111 §4.3.4)",
    "304-etag-update-response-Content-MD5":
        "a 304 updates every field but those that the stored octets depend on (RFC 9111 §3.2); this edition keeps Content-*",
    "304-etag-update-response-Content-Type":
        "the stored octets may depend on it (RFC 9111 §3.2)",
    **dict.fromkeys(
        ["age-parse-dup-0", "age-parse-dup-0-twoline", "age-parse-dup-old", "age-parse-float", "age-parse-negative",
         "age-parse-nonnumeric", "age-parse-numeric-parameter", "age-parse-parameter", "age-parse-prefix-twoline"],
        "the first value counts, and what is no number is ignored (RFC 9111 §5.1); this edition wants such an answer to be old"),
    **dict.fromkeys(
        ["stale-close-must-revalidate", "stale-close-no-cache", "stale-close-proxy-revalidate", "stale-close-s-maxage=2"],
        "nothing stale is sent, but an error; this edition takes an answer that its origin did not number for a stored one"),
}


@check
def the_public_suite_of_caching_tests_finds_what_is_known(bench):
    """Both as a node is by default and with all plain; the origin of the suite is the suite's own."""
    port = free_port()
    environment = {"npm_config_port": str(port), "npm_config_protocol": "http", "npm_config_pidfile": str(bench.folder / "suite.pid")}
    settings = [f"{name}={value}" for name, value in environment.items()]
    origin = Process(["env", *settings, executable("node"), SUITE / "server/server.mjs"], bench.folder, "suite-origin")
    until(lambda: _answers(port), "the suite's origin answers", 20)
    said = []
    for name, more in [("suite-auto", ""), ("suite-plain", 'live = "off"')]:
        toml = bench.toml(more=more).replace(bench.origin.url, f"http://127.0.0.1:{port}")
        node = weir.Node(bench.folder, name, toml)
        told = _judged(node)
        for _ in range(1, TRIES):
            differing = _differing(told, set(NOT_MET))
            if differing:
                print(f"       again: {', '.join(sorted(differing))}", flush=True)
                told.update(_judged(node, differing))
        said.append(_compared(told, set(NOT_MET)))
        node.end()
    origin.end()
    return f"{said[0]}; the same with `live = \"off\"`" if said[0] == said[1] else "; ".join(said)


def _answers(port):
    return run(["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"]).returncode == 0


def _judged(node, names=()):
    """What each test came to, or those with these names."""
    suite = weir.ROOT / "tests/foreign/kit/cache_suite.mjs"
    ended = run([executable("node"), "--no-warnings", suite, node.http(), *names], 600, cwd=weir.ROOT)
    assert ended.returncode == 0, ended.stderr.decode()[-500:]
    return json.loads(ended.stdout)


def _differing(told, known):
    """The tests that came to something else than is known of them."""
    return {name for name, test in told.items() if test["kind"] != "check" and (test["result"] is True) == (name in known)}


def _compared(told, known):
    asked = {name: test for name, test in told.items() if test["kind"] != "check"}
    assert len(asked) > 200, f"the suite has {len(asked)} tests that ask for something"
    failed = {name for name, test in asked.items() if test["result"] is not True}
    known = known & set(asked)
    new = {name: asked[name]["result"] for name in failed - known}
    assert not new, f"not met: {json.dumps(new)}"
    assert not known - failed, f"met, and still on the list: {known - failed}"
    counts = {kind: sum(test["kind"] == kind for test in asked.values()) for kind in ("required", "optimal")}
    met = {kind: sum(test["kind"] == kind and test["result"] is True for test in asked.values()) for kind in counts}
    return ", ".join(f"{met[kind]} of {counts[kind]} {kind}" for kind in counts)
