#!/usr/bin/env python3
"""What a cache hit costs, beside nginx: both as caches before one origin, on one core, driven from another.

Rounds alternate (A B A B). Figures are divided by the CPU time of the server's threads (/proc/PID/task/*/schedstat), so that
they hold where the load tool is the slower one or a neighbour takes time; work of the kernel on the server's behalf counts
where it is done in its threads. As root all of it runs before whatever else the machine does, in a network namespace of its
own, whose loopback has an MTU of 1500 and TCP's congestion control is cubic for both; otherwise it says so. Needs Debian's
nginx and openssl, util-linux and iproute2, and `cargo build --release --workspace`.
"""

import argparse
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/foreign"))

from kit import network, processes  # noqa: E402

SERVER_CORE, LOAD_CORE = "0", "1"
OBJECTS = {"1.5kB": 1_500, "100kB": 100_000, "2MB": 2_000_000}
# Connections and streams: enough to keep a server busy, few enough not to fill its queues.
LOADS = {"h1": (16, 1), "h1s": (16, 1), "h2": (4, 16), "h3": (4, 16)}
LARGE = {"h1": (8, 1), "h1s": (8, 1), "h2": (4, 4), "h3": (4, 4)}
# nginx of Debian 12 has no HTTP/3: Weir's is held against nginx's HTTP/2.
RIVAL = {"h1": "h1", "h1s": "h1s", "h2": "h2", "h3": "h2"}
SUITE = "TLS_AES_128_GCM_SHA256"

NGINX = """
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log warn;
events {{ worker_connections 4096; multi_accept on; }}
http {{
  access_log off;
  sendfile off; tcp_nodelay on; # reading and writing is faster here than sendfile up to 100 kB
  keepalive_requests 1000000000; keepalive_timeout 300s;
  open_file_cache max=1000 inactive=300s; open_file_cache_valid 60s; open_file_cache_min_uses 1;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  proxy_cache_path {dir}/cache levels=1:2 keys_zone=z:16m max_size=1g inactive=60m use_temp_path=off;
  ssl_certificate {cert}; ssl_certificate_key {key};
  ssl_protocols TLSv1.3; ssl_buffer_size 16k; ssl_ecdh_curve X25519:prime256v1;
  ssl_conf_command Ciphersuites {suite};
  http2_chunk_size 64k; output_buffers 2 128k;
  server {{
    listen 127.0.0.1:{http} backlog=4096;
    listen 127.0.0.1:{https} ssl http2 backlog=4096;
    proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_cache z; proxy_cache_valid 200 10m; proxy_buffers 32 16k; proxy_buffer_size 16k;
    location / {{ proxy_pass {origin}; }}
    location /blob/2MB {{ sendfile on; tcp_nopush on; proxy_pass {origin}; }} # there it is the faster one
  }}
}}
"""

WEIR = """
[node]
workers = 1
[listen]
http = ["127.0.0.1:{http}"]
https = ["127.0.0.1:{https}"]
admin = "unix:{dir}/admin.sock"
[tls]
certificates = [{{ cert = "{cert}", key = "{key}" }}]
[cache]
memory = "256MiB"
[origins.origin]
url = "{origin}"
[[route]]
path = "/"
origins = ["origin"]
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", default="h1,h1s,h2,h3")
    parser.add_argument("--objects", default=",".join(OBJECTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path, help="raw figures as JSON")
    parser.add_argument("--table", type=pathlib.Path, help="only prints the table of such a file")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text())["runs"]))
        return
    where = f"{network.enter()}; {processes.go_first()}"
    raw = {"command": shlex.join(["benches/compare.py", *sys.argv[1:]]), "network": where,
           "kernel": platform.release(), "cores": os.cpu_count(), "load_average": os.getloadavg(), "runs": []}
    with tempfile.TemporaryDirectory(prefix="weir-compare-", dir="/dev/shm") as folder:
        try:
            measure_all(Lab(pathlib.Path(folder)), arguments, raw)
        finally:
            processes.end_all()
    if arguments.out:
        arguments.out.write_text(json.dumps(raw, indent=1))
    print(f"network: {where}\n\n{table(raw['runs'])}")


def pinned(core, command):
    return ["taskset", "-c", core, *command]


class Lab:
    """The origin and the two servers."""

    def __init__(self, folder):
        self.folder = folder
        folder.chmod(0o755)  # nginx's worker is another user
        self.binaries = pathlib.Path(os.environ.get("WEIR_BINARIES", ROOT / "target/release")).resolve()
        made = processes.run([ROOT / "certs/make.sh", folder / "certs"])
        assert made.returncode == 0, made.stderr
        origin = processes.Process(
            pinned(LOAD_CORE, [self.binaries / "weir-origin", "--http", "127.0.0.1:0", "--control", "127.0.0.1:0"]),
            folder, "origin", subprocess.PIPE)
        self.origin = origin.child.stdout.readline().split()[1].decode().removesuffix("/live/master.m3u8")
        self.servers = {"nginx": self.start("nginx", NGINX), "weir": self.start("weir", WEIR)}

    def start(self, name, template):
        folder = self.folder / name
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        ports = {kind: processes.free_port() for kind in ("http", "https")}
        config = folder / "config"
        config.write_text(template.format(
            dir=folder, origin=self.origin, suite=SUITE, **ports,
            cert=self.folder / "certs/ecdsa.pem", key=self.folder / "certs/ecdsa.key"))
        command = {"nginx": [processes.executable("nginx"), "-c", config],
                   "weir": [self.binaries / "weir", "serve", "--config", config]}[name]
        process = processes.Process(pinned(SERVER_CORE, command), folder, name)
        server = {"pid": process.pid, **ports}
        processes.until(lambda: self.load(server, "h1", "1.5kB", 1, check=False), f"{name} answers: {process.said()}")
        return server

    def load(self, server, way, name, seconds, check=True):
        """One measurement; None where nothing can be had."""
        connections, streams = (LARGE if name == "2MB" else LOADS)[way]
        scheme, port = ("http", server["http"]) if way == "h1" else ("https", server["https"])
        url = f"{scheme}://127.0.0.1:{port}/blob/{name}?size={OBJECTS[name]}&cc=max-age=36000"
        command = pinned(LOAD_CORE, [
            self.binaries / "weir-loadtest", "load", "--way", way, "--url", url, "--insecure", "--json",
            "--connections", str(connections), "--streams", str(streams), "--seconds", str(seconds)])
        before = cpu_seconds(server["pid"])
        ended = processes.run(command, seconds + 30)
        spent = cpu_seconds(server["pid"]) - before
        if ended.returncode != 0:
            assert not check, ended.stderr + ended.stdout
            return None
        return {"cpu_seconds": spent, "load": json.loads(ended.stdout)}


def cpu_seconds(pid):
    """What all threads of a process and its children have run, in seconds."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0]) / 1e9
        total += sum(cpu_seconds(int(child)) for child in (task / "children").read_text().split())
    return total


def measure_all(lab, arguments, raw):
    for name in arguments.objects.split(","):
        for way in arguments.ways.split(","):
            servers = {"weir": lab.servers["weir"]} if way == "h3" else lab.servers
            for server in servers.values():
                lab.load(server, way, name, 1)  # fills the cache, and warms all that warms
            for turn in range(arguments.rounds):
                for who, server in servers.items():
                    run = {"server": who, "object": name, "way": way, "round": turn, "at": time.time()}
                    raw["runs"].append({**run, **lab.load(server, way, name, arguments.seconds)})
            print(f"{name} {way} done", file=sys.stderr, flush=True)


def table(runs):
    """Medians; the last column is Weir's work per CPU second over nginx's."""
    def median(of, who, name, way):
        found = [of(run) for run in runs if (run["server"], run["object"], run["way"]) == (who, name, way)]
        return statistics.median(found) if found else None
    lines = ["| object | way | unit | nginx | weir | nginx per CPU s | weir per CPU s | CPU of nginx, weir | ratio |",
             "|---|---|---|--:|--:|--:|--:|--:|--:|"]
    for name, way in dict.fromkeys((run["object"], run["way"]) for run in runs):
        small = OBJECTS[name] < 10_000
        per = lambda run: run["load"]["requests"] / run["load"]["seconds"] if small else run["load"]["gbit_per_second"]  # noqa: E731
        busy = lambda run: run["cpu_seconds"] / run["load"]["seconds"]  # noqa: E731
        whole = lambda run: per(run) / busy(run)  # noqa: E731
        theirs, ours = ("nginx", name, RIVAL[way]), ("weir", name, way)
        cells = [median(of, *who) for of in (per, whole) for who in (theirs, ours)]
        used = " ".join("-" if (value := median(busy, *who)) is None else f"{value:.0%}" for who in (theirs, ours))
        ratio = "-" if None in cells[2:] else f"{cells[3] / cells[2]:.2f}"
        shown = ["-" if cell is None else f"{cell:,.0f}" if small else f"{cell:.2f}" for cell in cells]
        rival = way if RIVAL[way] == way else f"{way} (nginx: {RIVAL[way]})"
        lines.append(f"| {name} | {rival} | {'requests/s' if small else 'Gbit/s'} | {' | '.join(shown)} | {used} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
