#!/usr/bin/env python3
"""What viewers' experience costs a node: one core for the node with all its threads, another for the load. CPU time is that
of all of the node's threads (/proc/PID/task/*/schedstat); the journal is on disk.

cost     The same node with `[qoe]` off, on, and on without CMSD, in turns: CPU time by request for media of a session (a
         `.m4s` on an open route), with and without CMCD in the query; medians of the rounds after the first.
reports  CMCD events in batches over HTTP/1.1, each record another one, as fast as they are answered and at a rate: how many
         were acknowledged, and what one took.

Needs openssl, util-linux and `cargo build --release --workspace`.
"""

import argparse
import collections
import glob
import http.client
import http.server
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
SERVER_CORE, LOAD_CORE = "0", "1"
OBJECTS = {"/live/b100.m4s": 100_000, "/live/b1.m4s": 1_500}
CMCD = ("?CMCD=bl%3D2000%2Cbr%3D476%2Ccid%3D%22a%22%2Cd%3D333%2Cmtp%3D9800%2Cot%3Dv%2Csf%3Dh%2C"
        "sid%3D%22f44e688a-25a2-423a-89a8-562f892d206e%22%2Cst%3Dll")
KINDS = {"off": "enabled = false", "on": "enabled = true", "on, no CMSD": "enabled = true\ncmsd = false"}
TOML = """
[node]
workers = 1
state = "{state}"
[listen]
http = ["127.0.0.1:0"]
https = ["127.0.0.1:0"]
admin = "unix:{state}/admin.sock"
[tls]
certificates = [{{ cert = "{folder}/cert.pem", key = "{folder}/key.pem" }}]
[limits]
beacons_per_session = "1000000/s"
records_per_session = "1000000/s"
[qoe]
{qoe}
[origins.main]
url = "http://127.0.0.1:{origin}"
[[route]]
path = "/live/"
origins = ["main"]
"""


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = OBJECTS.get(self.path.split("?")[0], 0)
        self.send_response(200 if size else 404)
        self.send_header("Content-Length", str(size))
        self.send_header("Cache-Control", "max-age=3600")
        self.send_header("Content-Type", "video/mp4")
        self.end_headers()
        self.wfile.write(bytes(size))

    def log_message(self, *_):
        pass


class Node:
    def __init__(self, binaries, folder, name, qoe, origin):
        state = folder / name.replace(", ", "-").replace(" ", "-")
        state.mkdir()
        config = state / "edge.toml"
        config.write_text(TOML.format(state=state, folder=folder, qoe=qoe, origin=origin))
        self.process = subprocess.Popen(["taskset", "-c", SERVER_CORE, binaries / "weir", "serve", "--config", config],
                                        stderr=subprocess.DEVNULL)
        ask = [binaries / "weir", "status", "--json", "--admin", f"unix:{state}/admin.sock"]
        for _ in range(100):
            told = subprocess.run(ask, capture_output=True, text=True)
            if told.returncode == 0:
                break
            time.sleep(0.1)
        doors = json.loads(told.stdout)["listeners"]
        self.address = next(door["address"] for door in doors if door["kind"] == "https")
        self.plain = next(door["address"] for door in doors if door["kind"] == "http")

    def cpu(self):
        return sum(int(open(path).read().split()[0]) for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"))


class Players:
    """They post batches until their time is over, and note what was answered, and after how long."""

    #: What a player sends at each interval.
    RECORD = ('bl=(2000),br=(5000;v 128;a),cid="show",e=t,ltc=3200,mtp=(18200),pt=%d,sf=h,sid="9f2c",sn=%d,st=ll,sta=p,'
              'tb=(8000;v),ts=%d,v=2')

    def __init__(self, address, batch, connections, rate, seconds):
        self.address, self.batch, self.seconds = address, batch, seconds
        self.pause = connections * batch / rate if rate else 0
        self.counts, self.took, self.numbers, self.lock = collections.Counter(), [], 0, threading.Lock()
        self.threads = [threading.Thread(target=self.play, args=(number,)) for number in range(connections)]

    def body(self):
        with self.lock:
            first, self.numbers = self.numbers, self.numbers + self.batch
        now = int(time.time() * 1000)
        values = [value for number in range(first, first + self.batch) for value in (now, number, now)]
        return "\n".join([self.RECORD] * self.batch) % tuple(values)

    def play(self, player):
        fields = {"user-agent": f"player-{player}", "content-type": "application/cmcd"}
        connection = http.client.HTTPConnection(self.address)
        connection.request("GET", "/live/b1.m4s", headers=fields)
        connection.getresponse().read()
        at = begun = time.monotonic()
        while at < begun + self.seconds:
            body = self.body()
            sent = time.monotonic()
            connection.request("POST", "/.weir/cmcd", body=body, headers=fields)
            answer = connection.getresponse()
            answer.read()
            self.took.append(time.monotonic() - sent)
            self.counts[answer.status] += self.batch
            at = at + self.pause if self.pause else time.monotonic()
            time.sleep(max(0, at - time.monotonic()))

    def run(self):
        began = time.monotonic()
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()
        return time.monotonic() - began


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=["cost", "reports"])
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--seconds", type=int, default=3)
    arguments.add_argument("--ways", nargs="+", default=["h2", "h3"])
    arguments.add_argument("--rate", type=int, default=50_000, help="reports a second")
    arguments.add_argument("--connections", type=int, default=8)
    arguments = arguments.parse_args()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    binaries = ROOT / "target/release"
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=localhost"],
                       check=True, capture_output=True)
        kinds = KINDS if arguments.what == "cost" else {"on": KINDS["on"]}
        nodes = {name: Node(binaries, folder, name, qoe, origin.server_port) for name, qoe in kinds.items()}
        try:
            {"cost": cost, "reports": reports}[arguments.what](binaries, nodes, arguments)
        finally:
            for node in nodes.values():
                node.process.terminate()
                node.process.wait()


def reports(_binaries, nodes, arguments):
    node = nodes["on"]
    for batch in [20, 100, 300]:
        for rate in [arguments.rate, None]:
            before = node.cpu()
            players = Players(node.plain, batch, arguments.connections, rate, arguments.seconds)
            seconds = players.run()
            cpu, took = (node.cpu() - before) / 1e9, sorted(players.took)
            answers = {status: round(count / seconds) for status, count in players.counts.items()}
            print(f"batches of {batch}, {f'{rate} a second wanted' if rate else 'as fast as answered'}: by second and status "
                  f"{answers}; {cpu / seconds:.0%} of the core, {cpu / players.counts[204] * 1e6:.2f} us a report; answered "
                  f"after {took[len(took) // 2] * 1e3:.0f} ms (p50), {took[len(took) * 99 // 100] * 1e3:.0f} ms (p99)",
                  flush=True)


def cost(binaries, nodes, arguments):
    for way in arguments.ways:
        for path in OBJECTS:
            for query in ["", CMCD]:
                compare(binaries, nodes, (way, path, query), arguments)


def compare(binaries, nodes, how, arguments):
    way, path, query = how
    spent = {name: [] for name in nodes}
    for turn in range(arguments.rounds):
        for name in list(nodes) if turn % 2 else reversed(list(nodes)):
            node = nodes[name]
            load = ["taskset", "-c", LOAD_CORE, binaries / "weir-loadtest", "load", "--way", way, "--insecure", "--json",
                    "--url", f"https://{node.address}{path}{query}", "--connections", "4", "--streams", "16",
                    "--seconds", str(arguments.seconds)]
            before = node.cpu()
            told = json.loads(subprocess.run(load, capture_output=True, text=True, check=True).stdout)
            if turn > 0:
                spent[name].append((node.cpu() - before) / told["requests"] / 1_000)
    median = {name: statistics.median(figures) for name, figures in spent.items()}
    figures = ", ".join(f"{name} {median[name]:.2f} ({min(spent[name]):.2f} to {max(spent[name]):.2f})" for name in nodes)
    ratios = ", ".join(f"{name} {median[name] / median['off']:.3f}" for name in list(nodes)[1:])
    print(f"{way} {OBJECTS[path]} octets, {'CMCD' if query else 'no CMCD'}: us by request: {figures}; to off: {ratios}",
          flush=True)


if __name__ == "__main__":
    main()
