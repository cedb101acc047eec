"""Weir itself as the checks start it: demo, origin, nodes with configurations of their own."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading

from .processes import Process, run, until

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARIES = pathlib.Path(os.environ.get("WEIR_BINARIES", ROOT / "target/debug")).resolve()
MIB = 1 << 20


def weir(*arguments, seconds=90):
    """Runs one `weir` command to its end."""
    return run([BINARIES / "weir", *arguments], seconds=seconds, cwd=ROOT)


def _first_line(process, seconds=60):
    """What a process says first; a debug build on a busy machine takes its time."""
    timer = threading.Timer(seconds, process.child.kill)
    timer.start()
    try:
        line = process.child.stdout.readline()
    finally:
        timer.cancel()
    assert line, f"{process.name} ended before it said where it listens: {process.said()}"
    return line


class Demo:
    """`weir demo`: origin, node and page in one process."""

    def __init__(self, folder):
        any_port = "127.0.0.1:0"
        self.process = Process(
            [BINARIES / "weir", "demo", "--json", "--no-open", "--http", any_port, "--https", any_port,
             "--admin", any_port, "--origin", any_port],
            folder, "demo", stdout=subprocess.PIPE)
        facts = json.loads(_first_line(self.process))
        self.page, self.page_https = facts["page"].rstrip("/"), facts["page_https"].rstrip("/")
        self.ca = facts["ca"]

    def end(self):
        self.process.signal(signal.SIGINT)
        return self.process.wait(20)


class Origin:
    """`weir-origin` in a process of its own, so that the memory of a node is the node's alone."""

    def __init__(self, folder, *arguments):
        any_port = "127.0.0.1:0"
        self.process = Process(
            [BINARIES / "weir-origin", "--http", any_port, "--control", any_port, *arguments], folder, "origin", subprocess.PIPE)
        self.url = _first_line(self.process).split()[1].decode().removesuffix("/live/master.m3u8")
        line = _first_line(self.process).split()
        while line[0] != b"control":
            line = _first_line(self.process).split()
        self.control = line[1].decode()


class Node:
    """`weir serve` with a configuration of its own, in a folder of its own."""

    def __init__(self, folder, name, toml):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir()
        self.admin = f"unix:{self.folder}/admin.sock"
        self.config = self.folder / "edge.toml"
        self.write(toml)
        self._start(folder, name)

    def _start(self, folder, name):
        self.process = Process([BINARIES / "weir", "serve", "--config", self.config], folder, name)
        self.bound = {}
        until(self._is_up, f"{name} listens", seconds=90)

    def again(self):
        """The same once more, after its process has ended."""
        self._start(self.folder.parent, f"{self.folder.name}-again")
        return self

    def write(self, toml):
        self.config.write_text(toml.replace("ADMIN", self.admin))

    def _is_up(self):
        if self.process.child.poll() is not None:
            raise AssertionError(f"{self.process.name} ended with {self.process.child.returncode}: {self.process.said()}")
        try:
            listeners = self.api("/status")["listeners"]
        except OSError:
            return False
        for listener in listeners:
            self.bound.setdefault(listener["kind"], []).append(listener["address"])
        return True

    def api(self, path):
        """JSON from the admin API."""
        return json.loads(self.admin_text(path))

    def admin_text(self, path):
        connection = _UnixConnection(self.admin.removeprefix("unix:"))
        try:
            connection.request("GET", path, headers={"Host": "localhost"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def metrics(self):
        """Each sample by its name and labels as written."""
        samples = {}
        for line in self.admin_text("/metrics").splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def port(self, kind="http", index=0):
        return int(self.bound[kind][index].rsplit(":", 1)[1])

    def http(self, path="", host="127.0.0.1"):
        return f"http://{host}:{self.port('http')}{path}"

    def https(self, path="", host="127.0.0.1"):
        return f"https://{host}:{self.port('https')}{path}"

    def end(self):
        return self.process.end()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Bench:
    """What the checks share: a folder, certificates, one demo, one origin, and one node before that origin."""

    def __init__(self, folder, length):
        self.folder = pathlib.Path(folder)
        self.is_long = length == "long"
        made = run([ROOT / "certs/make.sh", self.folder / "certs"])
        assert made.returncode == 0, made.stderr
        self.ca = self.folder / "certs/ca.pem"
        self.demo = Demo(folder)
        self.origin = Origin(folder)
        self.node = self.serve("node")

    def serve(self, name, listen='http = ["127.0.0.1:0"]\nhttps = ["127.0.0.1:0"]', more=""):
        """A node before the origin."""
        return self.serve_toml(name, self.toml(listen, more))

    def serve_toml(self, name, toml):
        """A node with this configuration."""
        return Node(self.folder, name, toml)

    def toml(self, listen='http = ["127.0.0.1:0"]\nhttps = ["127.0.0.1:0"]', more=""):
        certs = self.folder / "certs"
        return f"""
[node]
name = "foreign"
workers = 2
[listen]
admin = "ADMIN"
{listen}
[tls]
certificates = [{{ cert = "{certs}/ecdsa.pem", key = "{certs}/ecdsa.key" }}, {{ cert = "{certs}/rsa.pem", key = "{certs}/rsa.key" }}]
[cache]
memory = "64MiB"
[origins.origin]
url = "{self.origin.url}"
[[route]]
name = "all"
path = "/"
origins = ["origin"]
{more}
"""
