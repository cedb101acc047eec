"""Everything around a node fails at once while viewers play: the disk of its cache is full, that of its journal hangs, NATS,
the issuer's keys and both sinks are gone, and the admin API is flooded."""

import contextlib
import http.client
import http.server
import socket
import ssl
import subprocess
import threading
import time

from kit import processes, weir

MIB = 1 << 20
#: Requests to the admin API, a second and in all threads.
FLOOD = 200

TABLES = """
[nats]
servers = ["nats://{nats}"]
[qoe.sinks.web]
type = "http"
url = "http://{sink}/"
[qoe.sinks.stream]
type = "nats"
servers = ["nats://{nats}"]
subject = "weir.qoe"
[access.members]
[[access.members.issuers]]
issuer = "https://paywall.example"
hmac_secret_file = "{folder}/issuer.secret"
[[access.members.issuers]]
issuer = "https://other.example"
jwks = "https://localhost:{keys}/keys"
jwks_tls = {{ ca = "{folder}/certs/ca.pem" }}
[[route]]
name = "gated"
path = "/live/"
origins = ["origin"]
access = "members"
"""


class Answering(http.server.BaseHTTPRequestHandler):
    """A sink that takes everything, and an issuer without keys."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'{"keys":[]}' if self.command == "GET" else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Server:
    """It answers until it goes away, with its connections."""

    def __init__(self, tls=None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{tls}/ecdsa.pem", f"{tls}/ecdsa.key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def disk(folder, name, size):
    """A file system of its own, as large as said."""
    image, at = folder / f"{name}.img", folder / name
    at.mkdir()
    with open(image, "wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=False)


class Flood:
    """Whoever asks the admin API for everything, again and again."""

    PATHS = ["/status", "/metrics", "/sessions", "/", "/live", "/nothing"]

    def __init__(self, node):
        self.path, self.over, self.answers = node.admin.removeprefix("unix:"), threading.Event(), 0
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(4)]
        for thread in self.threads:
            thread.start()

    def ask(self, number):
        while not self.over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException), socket.socket(socket.AF_UNIX) as plain:
                plain.settimeout(5)
                plain.connect(self.path)
                path = self.PATHS[(number + self.answers) % len(self.PATHS)]
                plain.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                self.answers += bool(plain.recv(65_536))
            self.over.wait(len(self.threads) / FLOOD)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def two_hundred_play_on(stage, say, begin, ended):
    """Each way in calm, in calamity and in calm again: what parts take, and nobody notices."""
    for file in ["node.keys", "issuer.secret"]:
        (stage.folder / file).write_text("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210\n")
        (stage.folder / file).chmod(0o600)
    with disk(stage.folder, "journal", 64 * MIB) as journal, disk(stage.folder, "cache", 64 * MIB) as cache:
        with contextlib.ExitStack() as around:
            nats = Nats(stage.folder)
            sink, keys = Server(), Server(tls=stage.folder / "certs")
            tables = TABLES.format(folder=stage.folder, nats=nats.address, sink=f"127.0.0.1:{sink.port}", keys=keys.port)
            toml = stage.toml("64MiB", tables).replace("workers = 1\n", f'workers = 1\nstate = "{journal}"\n')
            toml = toml.replace('memory = "64MiB"', f'memory = "64MiB"\ndisk = {{ path = "{cache}/tier", size = "1GiB" }}')
            toml = toml.replace("workers = 1", f'workers = 1\nname = "edge"\nregion = "here"\nsecrets = "{stage.folder}/node.keys"')
            node = begin(lambda: weir.Node(stage.folder, "calamity", toml))
            figures = {}

            def play(when):
                for way in ["h2", "h3"]:
                    report = ended(stage.begin(
                        node, way, "viewers", "/live/master.m3u8", "--viewers", "200", "--arrive-over", "5s", "--seconds",
                        "15" if stage.short else "40", "--mint", stage.folder / "issuer.secret", "--issuer",
                        "https://paywall.example"))
                    first, whole = report["first_byte"], report["whole"]
                    figures[when, way] = report
                    say(when, way, f"{report['started']} started, stalls {report['stalls']['count']}, errors "
                        f"{report['errors']['counts']}; media: first byte p50 {first['p50']:.2f} p99 {first['p99']:.2f} ms, "
                        f"whole p50 {whole['p50']:.2f} p99 {whole['p99']:.2f} ms; latency p50 {report['latency']['p50']:.0f} ms")

            play("calm")
            with open(cache / "filler", "wb") as filler, contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(MIB))
            for gone in [nats, sink, keys]:
                gone.end()
            processes.until(lambda: not any(sink["last"] == "taken" for sink in node.api("/status")["sinks"]), "no sink takes", seconds=120)
            subprocess.run(["fsfreeze", "--freeze", journal], check=True)
            around.callback(subprocess.run, ["fsfreeze", "--unfreeze", journal], check=False)
            flood = Flood(node)
            play("calamity")
            flood.end()
            told = node.api("/status")
            journal_is, sinks = told["journal"], {sink["name"]: sink["last"] for sink in told["sinks"]}
            say("calamity", "all", f"the admin API answered {flood.answers} times; journal {journal_is['state']}, "
                f"{journal_is['waiting']} octets wait, lost {journal_is['lost']}; sinks {sinks}")
            assert journal_is["state"] == "failing" and "taken" not in sinks.values(), "nothing failed"
            around.close()
            play("after")
            node.end()
    for way in ["h2", "h3"]:
        calm, calamity, after = (figures[when, way]["first_byte"]["p99"] for when in ["calm", "calamity", "after"])
        say("p99", way, f"{calm:.1f}, {calamity:.1f}, {after:.1f} ms: {calamity / ((calm + after) / 2):.2f} of calm")
    wrong = [f"{when} {way}: {report['stalls']}, {report['errors']['counts']}" for (when, way), report in figures.items()
             if report["started"] != 200 or report["stalls"]["count"] or report["errors"]["counts"]]
    assert not wrong, "; ".join(wrong)


class Nats:
    """A server of its own with JetStream."""

    def __init__(self, folder):
        port = processes.free_port()
        self.address = f"127.0.0.1:{port}"
        self.process = processes.Process(
            ["nats-server", "-a", "127.0.0.1", "-p", port, "-js", "-sd", folder / "nats"], folder, "nats")
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        raise AssertionError(f"nats-server does not listen: {self.process.said()}")

    def end(self):
        self.process.end()
