"""Debian's HAProxy and nginx in front: whom they name is in the log, and whoever else names somebody is not believed.

Viewers come from 127.0.0.2 and 127.0.0.3; the balancers, whom the node trusts, from 127.0.0.1.
"""

import json
import re
import socket
import struct

from kit.curl import H1, H2, curl
from kit.nginx import serves as nginx_serves
from kit.processes import Process, executable, free_port, until
from . import check

VIEWER, STRANGER, FORGED = "127.0.0.2", "127.0.0.3", "203.0.113.7"
TRUSTED = "127.0.0.1/32"


class Logged:
    """A node with an access log, and what its lines say."""

    def __init__(self, bench, name):
        listen = f"""
http = ["127.0.0.1:0", {{ addr = "127.0.0.1:0", proxy_protocol = ["{TRUSTED}"] }}]
https = ["127.0.0.1:0", {{ addr = "127.0.0.1:0", proxy_protocol = ["{TRUSTED}"] }}]
trusted_proxies = ["{TRUSTED}"]"""
        log = f'[access_log]\npath = "{bench.folder}/{name}.access.json"'
        self.path = bench.folder / f"{name}.access.json"
        self.node = bench.serve(name, listen, log)

    def lines(self):
        # The last one may not be whole yet.
        return [json.loads(line) for line in self.path.read_text().split("\n")[:-1]]

    def address_of(self, mark):
        """The viewer's address of the request of the blob `mark`."""
        found = until(lambda: [line for line in self.lines() if line["path"] == f"/blob/{mark}"], f"a line for {mark} in the log")
        return found[0]["address"]

    def end(self):
        assert self.node.end() == 0, self.node.process.said()[-1000:]


def listens(port, process):
    def looks():
        assert process.child.poll() is None, f"{process.name} ended: {process.said()[-1000:]}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    until(looks, f"{process.name} listens")


def asked(url, *arguments):
    answer = curl(url, *arguments)
    assert (answer.code, answer.status) == (0, 200), f"{url}: {answer.status}, curl {answer.code}"
    return answer


@check
def behind_haproxy_the_true_address_is_known(bench):
    logged = Logged(bench, "behind-haproxy")
    node = logged.node
    ports = {name: free_port() for name in ("proxy", "secure", "forwarded")}
    config = bench.folder / "haproxy.cfg"
    config.write_text(f"""
defaults
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen proxy
  mode tcp
  bind 127.0.0.1:{ports["proxy"]}
  server node 127.0.0.1:{node.port("http", 1)} send-proxy-v2
listen secure
  mode tcp
  bind 127.0.0.1:{ports["secure"]}
  server node 127.0.0.1:{node.port("https", 1)} send-proxy-v2
listen forwarded
  mode http
  bind 127.0.0.1:{ports["forwarded"]}
  option forwardfor
  server node 127.0.0.1:{node.port("http")}
""")
    haproxy = Process([executable("haproxy"), "-db", "-f", config], bench.folder, "haproxy")
    for port in ports.values():
        listens(port, haproxy)
    source = ["--interface", VIEWER]
    lie = ["--header", f"X-Forwarded-For: {FORGED}"]
    secure = ["--cacert", bench.ca]
    asked(f"http://127.0.0.1:{ports['proxy']}/blob/proxy-h1?size=10", *H1, *source)
    asked(f"http://127.0.0.1:{ports['proxy']}/blob/proxy-lie?size=10", *H1, *source, *lie)
    asked(f"https://127.0.0.1:{ports['secure']}/blob/secure-h1?size=10", *H1, *source, *secure)
    asked(f"https://127.0.0.1:{ports['secure']}/blob/secure-h2?size=10", *H2, *source, *secure)
    asked(f"http://127.0.0.1:{ports['forwarded']}/blob/forwarded?size=10", *H1, *source)
    asked(f"http://127.0.0.1:{ports['forwarded']}/blob/forwarded-lie?size=10", *H1, *source, *lie)
    for mark in ("proxy-h1", "proxy-lie", "secure-h1", "secure-h2", "forwarded", "forwarded-lie"):
        assert logged.address_of(mark) == VIEWER, f"{mark}: {logged.address_of(mark)}"
    haproxy.end()
    logged.end()


@check
def behind_nginx_the_true_address_is_known(bench):
    logged = Logged(bench, "behind-nginx")
    node, port = logged.node, free_port()
    nginx = nginx_serves(bench.folder, "nginx", f"""
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{node.port("http")};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}""")
    listens(port, nginx)
    base, source = f"http://127.0.0.1:{port}/blob", ["--interface", VIEWER]
    asked(f"{base}/nginx-plain?size=10", *source)
    asked(f"{base}/nginx-lie-1?size=10", *source, "--header", f"X-Forwarded-For: {FORGED}")
    asked(f"{base}/nginx-lies?size=10", *source, "--header", f"X-Forwarded-For: 127.0.0.1, {FORGED}",
          "--header", f"Forwarded: for={FORGED}")
    for mark in ("nginx-plain", "nginx-lie-1", "nginx-lies"):
        assert logged.address_of(mark) == VIEWER, f"{mark}: {logged.address_of(mark)}"
    assert len(asked(f"{base}/through?size=2000000", *source).body) == 2_000_000
    nginx.end()
    logged.end()


def request(mark):
    return f"GET /blob/{mark}?size=10 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def refused(node, octets, source):
    """The listener that takes PROXY headers gives no answer to this."""
    listener = ("127.0.0.1", node.port("http", 1))
    with socket.create_connection(listener, 10, source_address=(source, 0)) as connection:
        try:
            connection.sendall(octets)
            answer = connection.recv(4096)
        except ConnectionError:
            return
    assert not re.match(rb"HTTP/1\.[01] 2", answer), answer[:200]


@check
def whoever_is_not_trusted_is_not_believed(bench):
    logged = Logged(bench, "strangers")
    node, source = logged.node, ["--interface", STRANGER]
    lies = ["--header", f"X-Forwarded-For: {FORGED}", "--header", f"Forwarded: for={FORGED}"]
    asked(node.http("/blob/forged-h1?size=10"), *H1, *source, *lies)
    asked(node.https("/blob/forged-h2?size=10"), *H2, *source, *lies, "--cacert", bench.ca)
    for mark in ("forged-h1", "forged-h2"):
        assert logged.address_of(mark) == STRANGER, f"{mark}: {logged.address_of(mark)}"
    # A PROXY header of a stranger's own making, on the listener that takes them from the balancer, is no request.
    header = b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x11]) + struct.pack(
        "!H4s4sHH", 12, socket.inet_aton(FORGED), socket.inet_aton("127.0.0.1"), 1234, 80)
    refused(node, header + request("forged-proxy"), STRANGER)
    # And the balancer's own, garbled or missing, is none either.
    for octets in (header[:12] + b"\x31" + header[13:], b"PROXY TCP9 1 2 3 4\r\n", b""):
        refused(node, octets + request("forged-balancer"), "127.0.0.1")
    assert not any(FORGED in line["address"] for line in logged.lines())
    logged.end()
