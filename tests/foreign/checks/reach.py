"""Old balancers, old televisions and new networks: HTTP/1.0, TLS 1.2 with RSA, IPv6 alone."""

import json
import re
import socket

from kit import h3
from kit.curl import H1, H2, curl
from kit.processes import run
from . import check


def raw(port, octets, host="127.0.0.1"):
    """What comes back until the other side ends the connection."""
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(octets)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


@check
def an_http_1_0_probe_without_host_is_answered(bench):
    for path in ("/.weir/live", "/.weir/ready"):
        answer = raw(bench.node.port("http"), f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.[01] 200 ", answer), answer[:200]
        answer = raw(bench.node.port("http"), f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.[01] 200 ", answer) and answer.endswith(b"\r\n\r\n"), answer[:200]
    answer = raw(bench.node.port("http"), b"GET / HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]


@check
def tls_1_2_with_rsa_and_without_a_name_is_served(bench):
    ended = run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{bench.node.port('https')}", "-tls1_2", "-noservername",
         "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384", "-CAfile", bench.ca, "-verify_return_error",
         "-quiet"],
        seconds=20, stdin=None, input=b"GET /.weir/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b"HTTP/1.1 200 OK" in ended.stdout, ended.stderr[-500:] + ended.stdout[-500:]
    for kind, expected in (("RSA", "rsaEncryption"), ("ECDSA", "id-ecPublicKey")):
        shown = run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{bench.node.port('https')}", "-tls1_2", "-servername",
             "localhost", "-cipher", f"ECDHE-{kind}-AES128-GCM-SHA256", "-CAfile", bench.ca, "-verify_return_error"],
            seconds=20, stdin=None, input=b"Q\n")
        leaf = run(["openssl", "x509", "-noout", "-text"], stdin=None, input=shown.stdout).stdout.decode()
        assert shown.returncode == 0 and expected in leaf, f"{kind}: {shown.stderr[-300:]}"
    old = run(["openssl", "s_client", "-connect", f"127.0.0.1:{bench.node.port('https')}", "-tls1_1"], stdin=None, input=b"Q\n")
    assert old.returncode != 0, "TLS 1.1 is spoken"


@check
def a_listener_on_all_addresses_serves_ipv6_and_ipv4(bench):
    log = bench.folder / "dual.access.json"
    node = bench.serve("dual", 'http = ["[::]:0"]\nhttps = ["[::]:0"]', f'[access_log]\npath = "{log}"')
    secure = ["--cacert", bench.ca]
    for host, family, address in (("[::1]", "-6", "::1"), ("127.0.0.1", "-4", "127.0.0.1")):
        for url, flags in ((node.http("/blob/dual?size=100", host), H1), (node.https("/blob/dual?size=100", host), [*H2, *secure])):
            answer = curl(url, family, *flags)
            assert (answer.code, answer.status, len(answer.body)) == (0, 200, 100), f"{url}: {answer.status}, curl {answer.code}"
        answer = h3.fetch(node.https("/blob/dual?size=100", host), bench.ca)
        assert (answer.status, len(answer.body)) == (200, 100), f"HTTP/3 {host}: {answer.status}"
    assert node.end() == 0
    addresses = [json.loads(line)["address"] for line in log.read_text().splitlines()]
    assert sorted(addresses) == 3 * ["127.0.0.1"] + 3 * ["::1"], addresses
