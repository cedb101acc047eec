"""The promises that only time and numbers show: herds, crowds, gigabytes, changed certificates, clients that never read.

Each story prints its figures, one line each, and fails where one is beyond its limit. Node, origin and load share a machine:
where it has two cores or more, the node has the first and the others have the second. Needs `cargo build --release
--workspace` and tests/setup.sh. Arguments choose stories by a piece of their names; `--short` is minutes in all.
As root all of it runs in a network namespace of its own, with an MTU of 1500 and cubic, and before
whatever else the machine does.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/foreign"))
os.environ.setdefault("WEIR_BINARIES", str(ROOT / "target/release"))

from kit import network, processes, resident, weir  # noqa: E402

import calamity  # noqa: E402
import region  # noqa: E402

MIB = 1 << 20
WAYS = ("h1", "h1s", "h2", "h3")
FIRST_BYTE_MS = 20
DEAF_MIB = 96


@contextlib.contextmanager
def core(number):
    """What is started inside runs there."""
    before = os.sched_getaffinity(0)
    if number in before and len(before) > 1:
        os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Stage:
    """A folder, certificates, an origin; nodes as stories want them."""

    def __init__(self, folder, short):
        self.folder, self.short, self.count = pathlib.Path(folder), short, 0
        self.certificates(self.folder / "certs")
        with core(1):
            self.origin = Origin(folder)

    def certificates(self, folder):
        made = processes.run([ROOT / "certs/make.sh", folder])
        assert made.returncode == 0, made.stderr

    def toml(self, memory="256MiB", more=""):
        pair = f'{{ cert = "{self.folder}/certs/ecdsa.pem", key = "{self.folder}/certs/ecdsa.key" }}'
        return f"""
[node]
workers = 1
[listen]
http = ["127.0.0.1:0"]
https = ["127.0.0.1:0"]
admin = "ADMIN"
[tls]
certificates = [{pair}]
[cache]
memory = "{memory}"
[origins.origin]
url = "{self.origin.url}"
{more}
[[route]]
name = "all"
path = "/"
origins = ["origin"]
"""

    def node(self, memory="256MiB"):
        self.count += 1
        with core(0):
            return weir.Node(self.folder, f"node-{self.count}", self.toml(memory))

    def begin(self, node, way, command, path, *arguments):
        """Starts the load tool; `ended` gives its report."""
        url = (node.http if way == "h1" else node.https)(path)
        with core(1):
            process = processes.Process(
                [weir.BINARIES / "weir-loadtest", command, "--way", way, "--url", url, "--json", "--insecure", *arguments],
                self.folder, f"load-{way}", subprocess.PIPE)
        return process

    def load(self, *arguments, seconds=180):
        return ended(self.begin(*arguments), seconds)


def ended(process, seconds=180):
    """The report of a load tool."""
    out, _ = process.child.communicate(timeout=seconds)
    process.end()
    assert process.child.returncode in (0, 1), process.said()
    return json.loads(out)


class Origin(weir.Origin):
    """With its control port."""

    def __init__(self, folder, *arguments):
        super().__init__(folder, *arguments)
        self.control = self.control.removesuffix("/__stats")

    @property
    def stats(self):
        return f"{self.control}/__stats"

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.control + path, data, method=method), timeout=10) as answer:
            return answer.read()

    def asked(self, path):
        """How often it was asked for a path with its query."""
        return json.loads(self.ask("GET", "/__stats?log=0"))["requests"].get(path, 0)

    def crc32(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return zlib.crc32(answer.read())


def per_way(stage, node, story):
    """Tells a story over each way, and gathers what is beyond its limit."""
    wrong = []
    for way in WAYS:
        for what in story(stage, node, way):
            wrong.append(f"{way}: {what}")
    assert not wrong, "; ".join(wrong)


def say(name, way, text):
    print(f"       {name:<10} {way:<4} {text}", flush=True)


def herd(stage, node, way, name, *arguments):
    """200 clients at one cold object: path, report."""
    path = f"/blob/{name}-{way}?size=2000000&delay_ms=500&over_ms=1000"
    report = stage.load(node, way, "herd", path, "--clients", "200", "--stats", stage.origin.stats, *arguments)
    return path, report


def say_herd(name, way, report):
    first, last = report["after_origin"], report["last_byte"]
    say(name, way, f"origin requests {report['origin']['media']['max']}, whole {report['whole']}, first byte after the "
        f"origin's p50 {first['p50']:.1f} p99 {first['p99']:.1f} ms, whole body p99 {last['p99']:.0f} ms, "
        f"errors {report['errors']['counts']}")


def judge_herd(stage, path, report, whole):
    if report["origin"]["media"]["max"] != 1:
        yield f"{report['origin']['media']['max']} requests at the origin"
    if report["whole"] != whole or report["bodies"] != 1 or report["errors"]["counts"]:
        yield f"{report['whole']} whole, {report['bodies']} bodies, {report['errors']}"
    if report["crc32"] != stage.origin.crc32(path):
        yield "not the origin's body"
    if report["after_origin"]["p99"] > FIRST_BYTE_MS:
        yield f"first byte {report['after_origin']['p99']:.1f} ms after the origin's"


def herd_of_200_at_one_cold_object(stage):
    def story(stage, node, way):
        path, report = herd(stage, node, way, "cold")
        say_herd("all stay", way, report)
        yield from judge_herd(stage, path, report, 200)
    per_way(stage, stage.node(), story)


def herd_whose_first_client_leaves_in_mid_body(stage):
    def story(stage, node, way):
        path, report = herd(stage, node, way, "leave", "--leave-first-after", "100kB", "--lead", "100ms")
        say_herd("one leaves", way, report)
        yield from judge_herd(stage, path, report, 199)
    per_way(stage, stage.node(), story)


def herd_beside_one_who_reads_10_kb_a_second(stage):
    slow_for = "5s" if stage.short else "15s"
    def story(stage, node, way):
        path, report = herd(stage, node, way, "slow", "--slow", "1", "--slow-rate", "10kB/s", "--slow-for", slow_for)
        say_herd("one slow", way, report)
        say("one slow", way, f"it got {report['slow_bytes']} bytes in {slow_for}")
        yield from judge_herd(stage, path, report, 200)
    per_way(stage, stage.node(), story)


def herd_whose_body_the_origin_cuts(stage):
    def story(stage, node, way):
        stage.origin.ask("POST", "/__faults", {"pattern": f"/blob/cut-{way}*", "action": "cut", "after": 1_000_000, "count": 1})
        path, report = herd(stage, node, way, "cut")
        say("cut", way, f"origin requests {report['origin']['media']['max']}, whole {report['whole']}, "
            f"errors {report['errors']['counts']}")
        if report["whole"] or sum(report["errors"]["counts"].values()) != 200 or report["origin"]["media"]["max"] != 1:
            yield f"{report['whole']} whole, {report['errors']}, {report['origin']['media']}"
        again = stage.load(node, way, "herd", path, "--clients", "1")
        if again["whole"] != 1 or again["crc32"] != stage.origin.crc32(path) or stage.origin.asked(path) != 3:
            yield f"afterwards: {again['whole']} whole, {stage.origin.asked(path) - 1} requests at the origin in all"
    per_way(stage, stage.node(), story)


def herd_over_three_protocols_at_once(stage):
    node, path = stage.node(), "/blob/mixed?size=2000000&delay_ms=1500&over_ms=1000"
    running = [stage.begin(node, way, "herd", path, "--clients", "60") for way in ("h1", "h2", "h3")]
    reports = [ended(process) for process in running]
    asked, crc = stage.origin.asked(path), stage.origin.crc32(path)
    say("mixed", "all", f"origin requests {asked}, whole {[report['whole'] for report in reports]} of 60 each")
    assert asked == 1 and all(report["whole"] == 60 and report["crc32"] == crc for report in reports)


def viewers_play_and_the_origin_is_asked_once(stage):
    seconds = "15" if stage.short else "60"
    node = stage.node()
    def story(stage, node, way):
        if way == "h1s":
            return
        report = stage.load(node, way, "viewers", "/live/master.m3u8", "--viewers", "200", "--arrive-over", "10s",
                            "--seconds", seconds, "--stats", stage.origin.stats)
        say("200 play", way, viewers(report))
        origin = report["origin"]
        say("200 play", way, ", ".join(
            f"{kind}: {origin[kind]['requests']} fetches of {origin[kind]['urls']} URLs, most {origin[kind]['max']}"
            for kind in ("media", "versions", "playlists")))
        yield from judge_viewers(report)
        for kind in ("media", "versions"):
            if origin[kind]["max"] > 1:
                yield f"{origin[kind]['url']} fetched {origin[kind]['max']} times"
    per_way(stage, node, story)


def viewers(report):
    return (f"started {report['started']}, stalls {report['stalls']['count']}, errors {report['errors']['counts']}, startup p50 "
            f"{report['startup']['p50']:.0f} p99 {report['startup']['p99']:.0f} ms, latency p50 {report['latency']['p50']:.0f} "
            f"p99 {report['latency']['p99']:.0f} ms, media first byte p99 {report['first_byte']['p99']:.1f} ms")


def judge_viewers(report):
    if report["started"] != report["viewers"] or report["stalls"]["count"] or report["errors"]["counts"]:
        yield f"{report['started']} started, {report['stalls']}, {report['errors']}"


def offered_load_of_130_percent_leaves_those_who_play_alone(stage):
    """As many play as the node has room for, and a third as many come while they do: those are told when to come back, and
    of the others the slowest hundredth of all parts is there within the duration of one."""
    playing, part_ms = 20 if stage.short else 100, 1000 / 3
    coming, seconds = playing * 3 // 10, 20 if stage.short else 60
    text = stage.toml(more=f'[capacity]\negress = "{playing * 6}Mbit/s"\nretry_after = "7s"')
    text = text.replace('path = "/"', 'path = "/"\nbitrate = "6Mbit/s"')
    wrong = []
    for way in ("h1", "h2", "h3"):
        stage.count += 1
        with core(0):
            node = weir.Node(stage.folder, f"node-{stage.count}", text)
        first = stage.begin(node, way, "viewers", "/live/master.m3u8", "--viewers", str(playing), "--arrive-over", "5s",
                            "--seconds", str(seconds))
        processes.until(lambda: node.api("/status")["capacity"]["viewers"] == playing, "the node is full", 30)
        late = stage.begin(node, way, "viewers", "/live/master.m3u8", "--viewers", str(coming), "--arrive-over", "3s",
                           "--seconds", "5")
        told = subprocess.run(["curl", "-sik", "--max-time", "10", node.http("/live/master.m3u8")], capture_output=True, text=True)
        late, report, capacity = ended(late), ended(first, seconds + 60), node.api("/status")["capacity"]
        say("130 %", way, f"{viewers(report)}, whole parts p99 {report['whole']['p99']:.0f} ms; of {coming} more "
            f"{late['started']} started; refused {capacity['refused']['egress']} times")
        wrong += [f"{way}: {what}" for what in judge_viewers(report)]
        if report["whole"]["p99"] >= part_ms:
            wrong.append(f"{way}: parts take {report['whole']['p99']:.0f} ms")
        if late["started"] or capacity["admitted"] != playing or capacity["refused"]["egress"] < coming:
            wrong.append(f"{way}: {late['started']} of those who came started; {capacity}")
        if "503" not in told.stdout or "retry-after: 7" not in told.stdout.lower() or "node-full" not in told.stdout:
            wrong.append(f"{way}: {told.stdout}")
        node.end()
    assert not wrong, "; ".join(wrong)


def fifty_viewers_of_each_protocol_outlive_their_origin(stage):
    """The origin of a stream is killed in mid-part again and again, and another goes on in other numbers: no viewer with
    three parts of buffer stalls, and no sequence goes back."""
    count, kills = ("4", 2) if stage.short else ("50", 20)
    pause = 6
    with core(1):
        # A thousand segments behind the other: its numbers, and what its names stand for, are others.
        backup = Origin(stage.folder, "--epoch-ms", str(int(time.time() * 1000) - 2_000_000))
    text = stage.toml().replace('origins = ["origin"]', 'origins = ["origin", "backup"]')
    text = text.replace("[[route]]", f'[origins.backup]\nurl = "{backup.url}"\n[[route]]')
    stage.count += 1
    with core(0):
        node = weir.Node(stage.folder, f"node-{stage.count}", text)
    seconds = 14 + kills * 2 * pause + 8
    playing = {way: stage.begin(node, way, "viewers", "/live/master.m3u8", "--viewers", count, "--arrive-over", "5s",
                                "--seconds", str(seconds)) for way in ("h1", "h2", "h3")}
    time.sleep(14)
    took = []

    def comes_from(name):
        renditions = node.api("/status")["live"]["renditions"]
        followed = [one for one in renditions if one["state"] == "live"]
        return followed and all(one["origin"] == name for one in followed)

    for turn in range(kills):
        assert comes_from("origin"), f"before kill {turn}: {node.api('/status')['live']}"
        # At another moment within a part each time.
        time.sleep(turn * 0.037 % 0.333)
        begun = time.monotonic()
        stage.origin.ask("POST", "/__faults", {"id": "killed", "action": "die"})
        processes.until(lambda: comes_from("backup"), "the other origin is followed", 10)
        took.append(time.monotonic() - begun)
        time.sleep(max(0, begun + pause - time.monotonic()))
        stage.origin.ask("DELETE", "/__faults/killed")
        time.sleep(0.3)
        said = weir.weir("origin", "origin", "return", "--admin", node.admin)
        assert said.returncode == 0, said.stdout + said.stderr
        processes.until(lambda: comes_from("origin"), "the stream is back", 10)
        time.sleep(max(0, begun + 2 * pause - time.monotonic()))
    wrong = []
    counted = node.metrics()
    noticed = {name: counted.get(f'weir_playlist_findings_total{{finding="{name}"}}', 0) for name in ("restart", "failover")}
    say("failover", "all", f"{kills} kills; followed elsewhere after p50 {sorted(took)[len(took) // 2] * 1e3:.0f} ms, at most "
        f"{max(took) * 1e3:.0f} ms; bridges {noticed['restart']:.0f}")
    for way, process in playing.items():
        report = ended(process, seconds + 120)
        say("failover", way, f"{viewers(report)}; jumps {report.get('jumps')}; longest stall {report['stalls']['longest_ms']:.0f} ms")
        if report["started"] != report["viewers"] or report["stalls"]["count"] or report["errors"]["counts"]:
            wrong.append(f"{way}: {report['started']} started, {report['stalls']}, {report['errors']}")
    node.end()
    backup.process.end()
    assert not wrong, "; ".join(wrong)


def memory_stays_below_its_ceiling(stage):
    """10 GB of distinct objects through a cache of 256 MiB, one of them of 3 GB, by several clients at once."""
    node, each = stage.node("256MiB"), 60 if stage.short else 875
    large = 300_000_000 if stage.short else 3_000_000_000
    rest = node.process.memory()
    node.process.forget_memory_peak()
    begun, running = time.monotonic(), []
    urls = [(node.http(f"/blob/large?size={large}"), "--http1.1"), (node.http(f"/blob/a[1-{each}]?size=2000000"), "--http1.1"),
            (node.https(f"/blob/b[1-{each}]?size=2000000"), "--http1.1"), (node.https(f"/blob/c[1-{each}]?size=2000000"), "--http2"),
            (node.https(f"/blob/d[1-{each}]?size=2000000"), "--http2")]
    for url, version in urls:
        with core(1):
            running.append(processes.Process(
                ["curl", "--silent", "--show-error", "--insecure", "--output", "/dev/null", "--write-out",
                 "%{http_code} %{size_download} %{exitcode}\n", version, url], stage.folder, "curl", subprocess.PIPE))
    got, odd = 0, 0
    for process in running:
        out, _ = process.child.communicate(timeout=900)
        process.end()
        answers = [line.split() for line in out.decode().splitlines()]
        got += sum(int(size) for _, size, _ in answers)
        odd += sum((status, code) != ("200", "0") for status, _, code in answers)
    seconds, peak, now = time.monotonic() - begun, node.process.memory_peak(), node.process.memory()
    limit = 256 * MIB * 1.2
    say("memory", "all", f"{got / 1e9:.2f} GB in {seconds:.0f} s, {odd} odd answers; resident {rest / MIB:.0f} MiB at rest, "
        f"{peak / MIB:.0f} at most, {now / MIB:.0f} at the end; limit {limit / MIB:.0f}")
    assert got == large + 4 * each * 2_000_000 and not odd and peak <= limit


def what_is_resident_is_accounted(stage):
    """After ten seconds of rest `/status` explains 85 % of what the process has grown by since its start."""
    wrong, part = [], 4 if stage.short else 1
    for size, count in ((1_000, 40_000), (40_000, 4_000), (240_000, 2_000), (2_000_000, 200)):
        node = stage.node("2GiB")
        resident.fetch(node, "warm", 20, 1_000)
        before = resident.Figures(node)
        odd = resident.fetch(node, "one", count // part, size)
        wrong += resident.judge(node, before, f"{count // part} of {size} bytes", odd, say)
        node.end()
    node, ceiling = stage.node("512MiB"), 512 * MIB
    resident.fetch(node, "warm", 20, 1_000)
    before = resident.Figures(node)
    # Several times the ceiling, of sizes that share no pages, the last as the first.
    for turn, (size, count) in enumerate(((240_000, 6_000), (2_000_000, 800), (40_000, 20_000), (1_000, 80_000), (240_000, 6_000))):
        node.process.forget_memory_peak()
        odd = resident.fetch(node, f"scan-{turn}", count // part, size)
        peak = node.process.memory_peak() - before.resident
        wrong += resident.judge(node, before, f"then {count // part} of {size} bytes", odd, say)
        if peak > 1.1 * ceiling:
            wrong.append(f"{peak / MIB:.0f} MiB at most below a ceiling of {ceiling / MIB:.0f}")
    assert not wrong, "; ".join(wrong)


def certificates_and_routes_change_under_200_viewers(stage):
    seconds = 15 if stage.short else 40
    node, wrong = stage.node(), []
    for turn, way in enumerate(("h2", "h3")):
        # They arrive all the while, so that handshakes meet each change.
        playing = stage.begin(node, way, "viewers", "/live/master.m3u8", "--viewers", "200", "--arrive-over", f"{seconds // 2}s",
                              "--seconds", str(seconds))
        seen = {served_certificate(node)}
        for change in range(4):
            time.sleep(seconds / 5)
            if change % 2 == 0:
                fresh = stage.folder / f"certs-{turn}-{change}"
                stage.certificates(fresh)
                for name in ("ecdsa.key", "ecdsa.pem"):
                    shutil.move(fresh / name, stage.folder / "certs" / name)
                processes.until(lambda: served_certificate(node) not in seen, "the new certificate is served", 20)
                seen.add(served_certificate(node))
            else:
                more = f'[[route]]\nname = "more-{turn}-{change}"\npath = "/other-{turn}-{change}/"\norigins = ["origin"]\n'
                node.write(stage.toml(more=more))
                said = weir.weir("reload", "--admin", node.admin)
                assert said.returncode == 0, said.stdout + said.stderr
        report = ended(playing)
        say("changes", way, f"{len(seen)} certificates served, 2 reloads; {viewers(report)}")
        wrong += [f"{way}: {what}" for what in judge_viewers(report)]
    assert not wrong, "; ".join(wrong)


def served_certificate(node):
    context = ssl._create_unverified_context()
    with socket.create_connection(("127.0.0.1", node.port("https")), 10) as plain, context.wrap_socket(plain) as tls:
        return tls.getpeercert(binary_form=True)


def two_hundred_who_never_read_cost_little(stage):
    """Of an object that is in the cache, so that what grows is what connections hold."""
    from kit import h3
    from checks.rude import _h2_request as h2_request
    node, path, wrong, count = None, "/blob/deaf?size=32000000", [], 200
    h1_request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    async def over_h3(held):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(count):
                quiet = await stack.enter_async_context(h3.client(
                    node.port("https"), stage.folder / "certs/ca.pem", polite=False, max_stream_data=8 << 20, max_data=8 << 20))
                quiet._quic._write_connection_limits = quiet._quic._write_stream_limits = lambda **_: None
                answer = quiet.answer(quiet.begin(path))
                await quiet.until(lambda: answer.fields, "an answer begins")
                # Deaf from here on: nothing is taken, nothing acknowledged.
                quiet.datagram_received = lambda *_: None
            await asyncio.to_thread(held)

    def over_tcp(request, held, tls=None):
        deaf = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", node.port("https" if tls else "http")), 15)
            if tls:
                connection = tls.wrap_socket(connection)
            connection.sendall(request)
            deaf.append(connection)
        held()
        for connection in deaf:
            connection.close()

    tls = ssl._create_unverified_context()
    tls.set_alpn_protocols(["h2"])
    stories = {"h1": lambda held: over_tcp(h1_request, held), "h2": lambda held: over_tcp(h2_request(path), held, tls),
               "h3": lambda held: asyncio.run(over_h3(held))}
    for way, story in stories.items():
        # A node for each: what an allocator keeps of one crowd would hide the next.
        node = stage.node()
        fetched = processes.run(["curl", "--silent", "--output", "/dev/null", node.http(path)])
        assert fetched.returncode == 0
        before = node.process.memory()
        node.process.forget_memory_peak()
        neighbour = []
        def held():
            for turn in range(20):
                begun = time.monotonic()
                answer = processes.run(["curl", "--silent", "--fail", "--output", "/dev/null", "--write-out", "%{time_total}",
                                        node.http(f"/blob/good-{way}-{turn}?size=100000")], 20)
                neighbour.append((time.monotonic() - begun, answer.returncode))
                time.sleep(0.25)
        with core(1):
            story(held)
        grown = node.process.memory_peak() - before
        slowest = max(took for took, _ in neighbour)
        say("deaf", way, f"{count} clients: {grown / MIB:.0f} MiB more at most, limit {DEAF_MIB}; a good client's slowest "
            f"answer of 20 {slowest * 1e3:.0f} ms")
        if grown > DEAF_MIB * MIB or any(code for _, code in neighbour) or node.process.child.poll() is not None:
            wrong.append(f"{way}: {grown / MIB:.0f} MiB, neighbours {neighbour}")
    assert not wrong, "; ".join(wrong)


def origin_counts(stage, of):
    """Requests of each URL of the origin that `of` accepts."""
    counts = json.loads(stage.origin.ask("GET", "/__stats?log=0"))["requests"]
    return {url: count for url, count in counts.items() if of(url)}


def ten_thousand_reloads_are_held_and_released(stage):
    """The origin is asked for the position once, all get the same playlist, and soon."""
    count = "1000" if stage.short else "10000"
    wrong = []
    for way, clients in (("h2c", "1000"), ("h2c", count), ("h2", count), ("h1", "1000"), ("h1", count)):
        node = stage.node("512MiB")
        stage.origin.ask("POST", "/__stats/reset")
        url = node.https("/live/v0/media.m3u8") if way == "h2" else node.http("/live/v0/media.m3u8")
        with core(1):
            process = processes.Process(
                [weir.BINARIES / "weir-loadtest", "held", "--way", way, "--url", url, "--origin", stage.origin.url, "--clients",
                 clients, "--ahead", "8", "--pid", str(node.process.pid), "--json", "--insecure"],
                stage.folder, f"held-{way}", subprocess.PIPE)
        report = ended(process)
        after = report["after_origin"]
        versions = origin_counts(stage, lambda url: url.startswith("/live/v0/media.m3u8?"))
        say("held", way, f"{report['clients']} held, {report['whole']} answered, {report['bodies']} different; after the "
            f"origin's last byte p50 {after['p50']:.1f} p99 {after['p99']:.1f} max {after['max']:.1f} ms; CPU "
            f"{report['cpu_ms_per_thousand'] or 0:.1f} ms a thousand; resident {node.process.memory() / MIB:.0f} MiB")
        # One of them is the tool's own, which waits at the origin itself.
        most = max(versions.values(), default=0)
        if report["whole"] != report["clients"] or report["bodies"] != 1 or report["errors"]["counts"] or most > 2:
            wrong.append(f"{way}: {report['whole']} of {clients}, {report['bodies']} bodies, {report['errors']}, {most} requests")
        node.end()
    assert not wrong, "; ".join(wrong)


def five_hundred_viewers_of_four_renditions(stage):
    """Each object is fetched once, nearly every part is there or arriving when it is asked for, nothing goes back."""
    seconds = "20" if stage.short else "300"
    for mode in ("live", "br"):
        node = stage.node("512MiB")
        stage.origin.ask("POST", "/__stats/reset")
        playing = [stage.begin(node, way, "viewers", f"/{mode}/master.m3u8", "--viewers", viewers, "--arrive-over", "10s",
                               "--seconds", seconds, "--rendition", rendition)
                   for way, viewers, rendition in (("h1", "166", "0"), ("h2", "167", "1"), ("h3", "167", "2"))]
        wrong = []
        for process, way in zip(playing, ("h1", "h2", "h3")):
            report = ended(process, int(seconds) + 120)
            say(f"500 {mode}", way, viewers(report))
            wrong += judge_viewers(report)
        media = origin_counts(stage, lambda url: ".m3u8" not in url)
        repeated = {url: count for url, count in media.items() if count > 1 and mode == "live"}
        counted = node.metrics()
        asked = {how: counted.get(f'weir_part_requests_total{{by="{how}"}}', 0) for how in ("hit", "join", "lead")}
        share = (asked["hit"] + asked["join"]) / max(1, sum(asked.values()))
        say(f"500 {mode}", "all", f"{len(media)} objects, most fetched {max(media.values(), default=0)} times; parts {asked}, hit or "
            f"join {share * 100:.3f} %; prefetched {counted.get('weir_prefetched_bytes_total', 0) / 1e6:.1f} MB, wasted "
            f"{counted.get('weir_prefetch_wasted_bytes_total', 0) / 1e6:.1f} MB")
        wrong += [f"{url} fetched {count} times" for url, count in list(repeated.items())[:3]]
        # Parts that are ranges come out of their segment, and are not counted by themselves.
        if mode == "live" and share < 0.999:
            wrong.append(f"hit or join {share * 100:.2f} %")
        assert not wrong, "; ".join(map(str, wrong))
        node.end()


def plain_hls_is_discovered_early(stage):
    """In front of an origin that blocks nothing, players hear of a segment soon after it was published."""
    node = stage.node()
    report = stage.load(node, "h2", "viewers", "/plain/master.m3u8", "--viewers", "20", "--arrive-over", "4s", "--seconds",
                        "30" if stage.short else "120", "--plain")
    edge = report["edge"]
    say("plain", "h2", f"newest segment's age when a playlist had come: mean {edge['mean']:.0f} p50 {edge['p50']:.0f} p99 "
        f"{edge['p99']:.0f} ms; {viewers(report)}")
    assert not list(judge_viewers(report)) and edge["count"] and edge["mean"] <= 150, edge


def forty_channels_with_four_hours_each(stage):
    """CPU and memory, watched and idle; a scan through the past never evicts what is near the edge."""
    channels = 4 if stage.short else 40
    node = stage.node("2GiB")
    playlists = [f"/dvr/{channel}/{rendition}/media.m3u8" for channel in range(channels) for rendition in range(6)]

    def ask(path):
        with urllib.request.urlopen(node.http(path), timeout=30) as answer:
            return answer.read()

    def figures(what, seconds):
        before, begun = node.process.cpu(), time.monotonic()
        time.sleep(seconds)
        used = (node.process.cpu() - before) / (time.monotonic() - begun)
        say("dvr", "all", f"{what}: {used * 100:.1f} % of a core, resident {node.process.memory() / MIB:.0f} MiB")

    begun = time.monotonic()
    for path in playlists:
        ask(path)
    say("dvr", "all", f"{len(playlists)} playlists of 3,600 segments opened in {time.monotonic() - begun:.1f} s")
    stop = time.monotonic() + (20 if stage.short else 60)
    watched = [stage.begin(node, "h1", "viewers", f"/dvr/{channel}/master.m3u8", "--viewers", "2", "--seconds",
                           "25" if stage.short else "70", "--plain") for channel in range(min(channels, 4))]
    figures("watched", 15 if stage.short else 50)
    # The newest segments of a channel, then a scan through the past of others.
    newest = [line for line in ask(playlists[0]).decode().splitlines() if line.startswith("seg-")][-10:]
    for name in newest:
        ask(f"/dvr/0/0/{name}")
    scanned = 0
    for path in playlists[6:]:
        folder = path.rsplit("/", 1)[0]
        names = [line for line in ask(path).decode().splitlines() if line.startswith("seg-")][:-60]
        for name in names[:: 200 if stage.short else 40]:
            scanned += len(ask(f"{folder}/{name}"))
    before = origin_counts(stage, lambda url: url.startswith("/dvr/0/0/seg-"))
    for name in newest[-5:]:
        ask(f"/dvr/0/0/{name}")
    after = origin_counts(stage, lambda url: url.startswith("/dvr/0/0/seg-"))
    say("dvr", "all", f"scanned {scanned / 1e6:.0f} MB of the past; the newest segments of a watched channel: "
        f"{sum(after.values()) - sum(before.values())} fetched again")
    stage.origin.ask("POST", "/__faults", {"id": "off", "pattern": "/dvr/1/*", "action": "status", "code": 503})
    time.sleep(max(0, stop - time.monotonic()))
    for process in watched:
        report = ended(process)
        say("dvr", "h1", viewers(report))
    ready = node.api("/readyz")
    stage.origin.ask("DELETE", "/__faults/off")
    time.sleep(0 if stage.short else 45)
    figures("idle", 5 if stage.short else 20)
    say("dvr", "all", f"while channel 1 was off the air: /readyz says {ready}")
    assert all(name in after for name in [f"/dvr/0/0/{name}" for name in newest[-5:]]) and before == after


def three_nodes_fetch_once_and_one_is_killed(stage):
    region.thousand_objects(stage, say)


def everything_around_it_fails_and_viewers_play_on(stage):
    def begin(start):
        with core(0):
            return start()
    calamity.two_hundred_play_on(stage, say, begin, ended)


STORIES = [
    herd_of_200_at_one_cold_object,
    herd_whose_first_client_leaves_in_mid_body,
    herd_whose_body_the_origin_cuts,
    herd_beside_one_who_reads_10_kb_a_second,
    herd_over_three_protocols_at_once,
    viewers_play_and_the_origin_is_asked_once,
    ten_thousand_reloads_are_held_and_released,
    five_hundred_viewers_of_four_renditions,
    offered_load_of_130_percent_leaves_those_who_play_alone,
    plain_hls_is_discovered_early,
    forty_channels_with_four_hours_each,
    fifty_viewers_of_each_protocol_outlive_their_origin,
    memory_stays_below_its_ceiling,
    what_is_resident_is_accounted,
    certificates_and_routes_change_under_200_viewers,
    two_hundred_who_never_read_cost_little,
    three_nodes_fetch_once_and_one_is_killed,
    everything_around_it_fails_and_viewers_play_on,
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="less time, fewer bytes")
    parser.add_argument("pieces", nargs="*", help="only stories whose names hold one of these")
    arguments = parser.parse_args()
    chosen = [story for story in STORIES
              if not arguments.pieces or any(piece in story.__name__ for piece in arguments.pieces)]
    print(f"network: {network.enter()}; {processes.go_first()}", flush=True)
    processes.allow_many_files(16_384)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    failed = 0
    try:
        for story in chosen:
            with tempfile.TemporaryDirectory(prefix="weir-soak-") as folder:
                try:
                    failed += not passes(story, folder, arguments.short)
                finally:
                    processes.end_all()
    finally:
        processes.end_all()
    print(f"{len(chosen) - failed} passed, {failed} failed", flush=True)
    os._exit(1 if failed or not chosen else 0)


def passes(story, folder, short):
    name = story.__name__.replace("_", " ")
    print(f"       {name}", flush=True)
    begun = time.monotonic()
    try:
        story(Stage(folder, short))
    except Exception as error:  # noqa: BLE001: whatever it is, the story has failed
        where = traceback.extract_tb(error.__traceback__)[-1]
        print(f"FAILED {name} ({time.monotonic() - begun:.0f} s): {type(error).__name__}: {str(error)[:1500]} "
              f"[{os.path.basename(where.filename)}:{where.lineno}]", flush=True)
        return False
    print(f"ok     {name} ({time.monotonic() - begun:.0f} s)", flush=True)
    return True


if __name__ == "__main__":
    main()
