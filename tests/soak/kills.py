"""A node with a disk is killed at random moments under load, again and again: no wrong octet is served afterwards, and it
is up again within seconds, also with a full disk.

Viewers ask for objects of many sizes whose octets the origin makes of their names; each body is compared. The node's
memory holds a small part, its disk some, so that objects are written, read and driven out at every moment. Arguments:
--kills N (default 200), --engine auto|io_uring|threads, --seed.
"""

import argparse
import collections
import http.client
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time
import urllib.request
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/foreign"))

from kit import weir  # noqa: E402
from kit.processes import until  # noqa: E402

OBJECTS = 500
VIEWERS = 6
# An unoptimized build on a busy machine takes its time.
UP_WITHIN = 5.0 if weir.BINARIES.name == "release" else 60.0
AT_MOST = 120.0  # seconds until viewers have got what is waited for

TOML = """
[node]
workers = 2
[listen]
http = ["127.0.0.1:0"]
admin = "ADMIN"
[cache]
memory = "16MiB"
disk = {{ path = "{disk}", size = "{size}", engine = "{engine}" }}
[origins.origin]
url = "{origin}"
[[route]]
name = "all"
path = "/"
origins = ["origin"]
"""


class Objects:
    """Paths and what each body is, by its checksum."""

    def __init__(self, origin, chance):
        self.paths = []
        for number in range(OBJECTS):
            size = chance.choice((chance.randrange(10_000), chance.randrange(200_000), chance.randrange(900_000)))
            self.paths.append(f"/blob/k{number}?size={size}&cc=max-age=86400")
        self.crc = {}
        for path in self.paths:
            with urllib.request.urlopen(origin + path, timeout=30) as answer:
                self.crc[path] = zlib.crc32(answer.read())


class Viewers:
    """They ask until they are told to leave, and note what they got."""

    def __init__(self, objects, port, counts, wrong, seed):
        self.objects, self.port, self.counts, self.wrong = objects, port, counts, wrong
        self.leaving = threading.Event()
        self.threads = [threading.Thread(target=self.view, args=(seed + number,)) for number in range(VIEWERS)]
        for thread in self.threads:
            thread.start()

    def view(self, seed):
        chance = random.Random(seed)
        while not self.leaving.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                while not self.leaving.is_set():
                    self.ask(connection, chance)
            except (OSError, http.client.HTTPException):
                # The node has died, or cut a body: an error, and no wrong octet.
                self.counts["errors"] += 1
                self.leaving.wait(0.02)
            finally:
                connection.close()

    def ask(self, connection, chance):
        # Some are asked for often, all now and then.
        path = self.objects.paths[int(OBJECTS * chance.random() ** 2)]
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            self.counts[f"status {answer.status}"] += 1
            return
        status = answer.getheader("cache-status", "")
        self.counts["disk" if "detail=disk" in status else "memory" if ";hit" in status else "origin"] += 1
        if zlib.crc32(body) != self.objects.crc[path]:
            self.wrong.append((path, status, len(body)))

    def leave(self):
        self.leaving.set()
        for thread in self.threads:
            thread.join()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--engine", default="auto")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--size", default="96MiB")
    wanted = arguments.parse_args()
    chance = random.Random(wanted.seed)
    counts, wrong, starts = collections.Counter(), [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        origin = weir.Origin(folder)
        objects = Objects(origin.url, chance)
        toml = TOML.format(disk=folder / "disk", size=wanted.size, engine=wanted.engine, origin=origin.url)
        most = 0
        for kill in range(wanted.kills + 1):
            began = time.monotonic()
            node = weir.Node(folder, f"node-{kill}", toml)
            starts.append(time.monotonic() - began)
            disk = node.api("/status")["disk"]
            viewers = Viewers(objects, node.port(), counts, wrong, chance.randrange(1 << 30))
            # By what they got, not by time alone: on a busy machine a moment may hold no answer at all.
            answers = chance.randrange(200)
            began = sum(counts.values())
            until(lambda: sum(counts.values()) >= began + answers, f"{answers} answers", AT_MOST)
            time.sleep(chance.uniform(0.0, 1.5))
            if kill == wanted.kills:
                until(lambda: counts["disk"] > wanted.kills, "the disk is read", AT_MOST)
            os.kill(node.process.child.pid, signal.SIGKILL)
            node.process.child.wait()
            viewers.leave()
            node.process.end()
            taken = sum(file.stat().st_size for file in (folder / "disk").iterdir())
            most = max(most, taken)
            assert taken <= disk["size"], f"the files take {taken} of {disk['size']}"
            assert not wrong, f"wrong octets after {kill} kills: {wrong[:3]}"
            if kill % 20 == 0:
                print(f"       {kill:>4} kills, {disk['objects']} objects on disk at start, up after {starts[-1]:.2f} s", flush=True)
        origin.process.end()
    starts.sort()
    print(f"       engine {disk['engine']}, direct {disk['direct']}; answers {dict(counts)}")
    print(f"       up after {starts[len(starts) // 2]:.2f} s (median), {starts[-1]:.2f} s (longest); files took {most >> 20} MiB at most")
    assert starts[-1] < UP_WITHIN, "it was not up in time"
    assert counts["disk"] > wanted.kills, "the disk was hardly read"
    print(f"ok     {wanted.kills} kills, no wrong octet")


if __name__ == "__main__":
    main()
