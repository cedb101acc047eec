"""The `weir` command and a running node, as an operator and a service manager use them."""

import json
import signal
import socket
import subprocess

from kit.curl import H1, H2, curl
from kit.processes import Process, until
from kit.weir import ROOT, weir
from . import check

FIXTURES = ROOT / "tests/fixtures/config"


@check
def check_finds_every_broken_file_and_passes_the_shipped_one(bench):
    for number in range(1, 11):
        file = FIXTURES / f"broken-{number:02}.toml"
        ended = weir("check", "--config", file)
        assert ended.returncode == 1, f"{file.name}: {ended.returncode}"
        ended = weir("check", "--config", file, "--json")
        problems = json.loads(ended.stdout)["problems"]
        assert ended.returncode == 1 and len(problems) > 2, f"{file.name}: {ended.stdout[:500]}"
        for problem in problems:
            assert problem["line"] > 0 and (problem.get("remedy") or problem.get("accepted")), problem
        ended = weir("serve", "--config", file)
        assert ended.returncode == 1 and str(file.name).encode() in ended.stderr, f"serve {file.name}: {ended.returncode}"
    assert weir("check", "--config", "edge.toml").returncode == 0
    assert json.loads(weir("check", "--config", "edge.toml", "--json").stdout)


@check
def exit_codes_tell_wrong_use_from_a_finding(bench):
    nowhere = ["--admin", f"unix:{bench.folder}/nobody.sock"]
    for code, arguments in [
        (0, ["--help"]), (0, ["--version"]), (0, ["check", "--help"]),
        (2, []), (2, ["chek"]), (2, ["check", "--jsn"]), (2, ["explain"]), (2, ["demo", "--http", "8080"]),
        (2, ["drain", "--by", "10"]), (2, ["drain", "--by", "10m", "--cancel"]), (2, ["status", "--admin", "ftp://x"]),
        (2, ["status", "--config", "/nowhere/edge.toml"]),
        (1, ["check", "--config", "/nowhere/edge.toml"]), (1, ["status", *nowhere]), (1, ["reload", *nowhere]), (1, ["drain", *nowhere]), (1, ["explain", "http://a/", *nowhere]),
    ]:
        ended = weir(*arguments)
        assert ended.returncode == code, f"weir {' '.join(map(str, arguments))}: {ended.returncode}, not {code}: {ended.stderr[:300]}"
        assert code == 0 or ended.stderr or ended.stdout, f"weir {arguments} says nothing"


@check
def a_running_node_is_asked_reloaded_and_drained(bench):
    node = bench.serve("operated")
    at = ["--admin", node.admin, "--json"]

    def ask(command, *arguments, code=0):
        ended = weir(command, *arguments, *at)
        assert ended.returncode == code, f"{command}: {ended.returncode} {ended.stdout[:300]} {ended.stderr[:300]}"
        return json.loads(ended.stdout)
    status = ask("status")
    assert status["node"] == "foreign" and status["draining"] is False, status
    assert {listener["kind"] for listener in status["listeners"]} >= {"http", "https", "h3", "admin"}, status["listeners"]
    explained = ask("explain", node.http("/live/master.m3u8"))
    assert "all" in json.dumps(explained) and "origin" in json.dumps(explained), explained
    assert curl(node.http("/else/x")).status == 404
    good = node.config.read_text()

    # One more route, and what is served goes on.
    node.config.write_text(good.replace('[[route]]\nname = "all"', '[[route]]\nname = "new"\npath = "/new/"\nstrip = "/new"\norigins = ["origin"]\n[[route]]\nname = "all"'))
    assert curl(node.http("/new/blob/x?size=10")).status == 404
    ask("reload")
    assert curl(node.http("/new/blob/x?size=10")).status == 200
    # A broken file is refused and the old one stays.
    node.config.write_text(good.replace("[cache]", "[cahce]"))
    problems = json.dumps(ask("reload", code=1))
    assert "cahce" in problems, problems
    assert curl(node.http("/new/blob/x?size=10")).status == 200
    # So is one that would need a restart.
    node.config.write_text(good.replace("workers = 2", "workers = 1"))
    assert "workers" in json.dumps(ask("reload", code=1))
    # SIGHUP is the same as reload.
    node.config.write_text(good)
    node.process.signal(signal.SIGHUP)
    until(lambda: curl(node.http("/new/blob/x?size=10")).status == 404, "SIGHUP takes the route away")

    # A drain goes on for as long as somebody is served; without anybody it is over at once.
    assert curl(node.http("/.weir/ready")).status == 200
    viewer = Process(["curl", "--silent", node.http("/blob/held?size=1000000&over_ms=60000")], bench.folder, "viewer")
    until(lambda: node.api("/status")["origins"][0]["in_flight"] > 0, "a viewer is served")
    ask("drain", "--by", "1m")
    until(lambda: _is_turned_away(node), "viewers are turned away")
    assert ask("status")["draining"] is True
    ask("drain", "--cancel")
    until(lambda: curl(node.http("/.weir/ready")).status == 200, "viewers are let in again")
    assert ask("status")["draining"] is False
    viewer.end()
    ask("drain")
    assert node.process.wait(60) == 0, node.process.said()[-1000:]


def _is_turned_away(node):
    answer = curl(node.http("/.weir/ready"))
    return answer.status == 503 or answer.code != 0


@check
def sigterm_lets_a_body_finish_and_exits_with_0_while_a_viewer_plays(bench):
    node = bench.serve("stopped", more='[shutdown]\ndeadline = "60s"')
    player = Process(
        ["ffmpeg", "-nostdin", "-v", "quiet", "-i", node.http("/live/master.m3u8"), "-f", "null", "-"], bench.folder, "player")
    until(lambda: node.api("/status")["connections"]["h1"] > 0 and node.api("/status")["cache"]["objects"] > 3, "it plays")
    slow = subprocess.Popen(
        ["curl", "--silent", "--http2", "--cacert", bench.ca, "--max-time", "60", node.https("/blob/slow?size=3000000&over_ms=2500")],
        stdout=subprocess.PIPE)
    assert len(slow.stdout.read(1000)) == 1000
    node.process.signal(signal.SIGTERM)
    assert 1000 + len(slow.stdout.read()) == 3_000_000 and slow.wait(60) == 0, f"the body was cut, curl {slow.returncode}"
    code = node.process.wait(75)
    assert code == 0, f"{code}: {node.process.said()[-1000:]}"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", node.port("http"))) != 0, "something listens still"
    player.end()


@check
def sigusr1_opens_the_log_again_after_it_was_rotated(bench):
    log = bench.folder / "rotated.json"
    node = bench.serve("rotated", more=f'[access_log]\npath = "{log}"')
    asked = lambda: curl(node.https("/blob/logged?size=10"), *H2, "--cacert", bench.ca).status == 200  # noqa: E731
    # The last line may not be whole yet.
    whole = lambda path: path.read_text().split("\n")[:-1] if path.exists() else []  # noqa: E731
    lines = lambda path: [json.loads(line) for line in whole(path)]  # noqa: E731
    assert asked()
    until(lambda: len(lines(log)) == 1, "the first line")
    old = log.rename(bench.folder / "rotated.json.1")
    assert asked()
    until(lambda: len(lines(old)) == 2, "a line in the renamed file, which is still open")
    node.process.signal(signal.SIGUSR1)
    until(lambda: curl(node.http("/blob/logged?size=10"), *H1).status == 200 and len(lines(log)) > 0, "a line in the new file")
    line = lines(log)[0]
    assert (line["path"], line["status"], line["bytes"], line["complete"]) == ("/blob/logged", 200, 10, True), line
    assert node.end() == 0
