"""A node is killed at random moments while players report to it, again and again: every report that was acknowledged is
in its log afterwards, and reaches a sink, once by its key.

Players post batches of CMCD events, each record under a number of its own, until the node dies; a batch that was not
answered is nobody's promise. The files of the log are read here anew, by what they are documented to hold. Arguments:
--kills N (default 200), --engine auto|io_uring|threads, --rate reports a second, --seed.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import signal
import struct
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/foreign"))

from kit import weir  # noqa: E402
from kit.processes import until  # noqa: E402

PLAYERS = 4
BATCH = 20
# An unoptimized build on a busy machine takes its time.
UP_WITHIN = 5.0 if weir.BINARIES.name == "release" else 60.0
LEAST = 100  # reports that are acknowledged before a kill
AT_MOST = 120.0  # seconds until they are
PREAMBLE = 20

TOML = """
[node]
workers = 2
state = "{state}"
[listen]
http = ["127.0.0.1:0"]
admin = "ADMIN"
[limits]
beacons_per_session = "100000/s"
records_per_session = "100000/s"
[qoe]
custom_keys = ["com.example-number"]
[qoe.sinks.archive]
type = "file"
path = "{archive}"
every = "100ms"
[journal]
engine = "{engine}"
[origins.origin]
url = "{origin}"
[[route]]
name = "all"
path = "/"
origins = ["origin"]
"""


def lines(path):
    """The lines of a file of the log, up to what was torn."""
    octets = path.read_bytes()
    at = PREAMBLE
    while at + 8 <= len(octets):
        (length,) = struct.unpack_from("<I", octets, at)
        body = octets[at + 8:at + 8 + length]
        if length < 17 or len(body) < length:
            return
        try:
            yield json.loads(body[29 if body[16] & 0x80 else 17:])
        except ValueError:
            return
        at += 8 + length


def number(line):
    """The number of a report, where a line is one."""
    if line.get("event") != "report":
        return None
    return line.get("custom", {}).get("com.example-number")


class Players:
    """They report until they are told to leave, and note what was acknowledged."""

    def __init__(self, node, rate, numbers, counts):
        self.port, self.numbers, self.counts = node.port(), numbers, counts
        self.acknowledged = set()
        self.pause = PLAYERS * BATCH / rate
        self.leaving = threading.Event()
        self.threads = [threading.Thread(target=self.play, args=(player,)) for player in range(PLAYERS)]
        for thread in self.threads:
            thread.start()

    def play(self, player):
        fields = {"user-agent": f"player-{player}", "content-type": "application/cmcd"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        next_at = time.monotonic()
        try:
            connection.request("GET", "/live/master.m3u8", headers=fields)
            connection.getresponse().read()
            while not self.leaving.is_set():
                batch = [str(next(self.numbers)) for _ in range(BATCH)]
                now = int(time.time() * 1000)
                text = "\n".join(f'e=ps,sta=p,sid="p{player}",ts={now},v=2,com.example-number="{one}"' for one in batch)
                connection.request("POST", "/.weir/cmcd", body=text, headers=fields)
                answer = connection.getresponse()
                answer.read()
                self.counts[answer.status] += BATCH
                if answer.status == 204:
                    self.acknowledged.update(batch)
                next_at += self.pause
                self.leaving.wait(max(0, next_at - time.monotonic()))
        except (OSError, http.client.HTTPException):
            self.counts["killed"] += 1
        finally:
            connection.close()

    def leave(self):
        self.leaving.set()
        for thread in self.threads:
            thread.join()
        return self.acknowledged


class Numbers:
    """Numbers that no two players share."""

    def __init__(self):
        self.lock, self.last = threading.Lock(), 0

    def __next__(self):
        with self.lock:
            self.last += 1
            return self.last


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--engine", default="auto")
    arguments.add_argument("--rate", type=int, default=2_000)
    arguments.add_argument("--seed", type=int, default=1)
    wanted = arguments.parse_args()
    chance = random.Random(wanted.seed)
    counts, starts, numbers, acknowledged, logged = collections.Counter(), [], Numbers(), set(), set()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        origin = weir.Origin(folder)
        state, archive = folder / "state", folder / "told.ndjson"
        toml = TOML.format(state=state, archive=archive, engine=wanted.engine, origin=origin.url)
        seen, busy = set(), 0.0
        for kill in range(wanted.kills):
            began = time.monotonic()
            node = weir.Node(folder, f"node-{kill}", toml)
            starts.append(time.monotonic() - began)
            began = time.monotonic()
            players = Players(node, wanted.rate, numbers, counts)
            # By what was acknowledged, not by time alone: on a busy machine a moment may hold no answer at all.
            least = counts[204] + LEAST + chance.randrange(1, 10) * BATCH
            until(lambda: counts[204] >= least, "reports are acknowledged", AT_MOST)
            time.sleep(chance.uniform(0.0, 1.5))
            os.kill(node.process.child.pid, signal.SIGKILL)
            busy += time.monotonic() - began
            node.process.child.wait()
            acknowledged |= players.leave()
            node.process.end()
            # A process begins files of its own: what was there before has not changed.
            for path in set((state / "stories").glob("*.log")) - seen:
                seen.add(path)
                logged.update(filter(None, map(number, lines(path))))
            missing = acknowledged - logged
            assert not missing, f"{len(missing)} acknowledged reports are gone after {kill + 1} kills: {sorted(missing)[:5]}"
            if kill % 20 == 0:
                print(f"       {kill + 1:>4} kills, {len(acknowledged)} acknowledged, up after {starts[-1]:.2f} s", flush=True)
        node = weir.Node(folder, "node-last", toml)
        journal = node.api("/status")["journal"]
        sink = lambda: node.api("/status")["sinks"][0]  # noqa: E731
        until(lambda: sink()["next"] >= journal["next"], "the sink has all", seconds=120)
        assert node.end() == 0, "the last process does not end well"
        origin.process.end()
        told = [json.loads(line) for path in folder.glob("told.ndjson*") for line in path.read_text().splitlines()]
    reports = {line["key"]: number(line) for line in told if number(line)}
    assert acknowledged <= set(reports.values()), "acknowledged reports did not reach the sink"
    assert len(set(reports.values())) == len(reports), "a report has two keys"
    assert set(reports.values()) == logged, "the sink has what the log has not"
    starts.sort()
    rate = len(acknowledged) / busy
    print(f"       engine {wanted.engine}, {journal['state']}; answers {dict(counts)}")
    print(f"       {len(acknowledged)} acknowledged, {len(logged)} in the log, {len(told)} lines told; {rate:.0f} a second")
    print(f"       up after {starts[len(starts) // 2]:.2f} s (median), {starts[-1]:.2f} s (longest)")
    assert counts[204] > LEAST * wanted.kills, "hardly anything was reported"
    assert starts[-1] < UP_WITHIN, "it was not up in time"
    print(f"ok     {wanted.kills} kills, no acknowledged report lost")


if __name__ == "__main__":
    main()
