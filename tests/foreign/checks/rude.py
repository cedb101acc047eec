"""Clients that are slow, deaf or silent: each costs little, none is waited for for ever, and others are served."""

import asyncio
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

from kit.curl import curl
from kit.h3 import client
from kit.processes import until
from kit.weir import MIB
from . import check

LIMITS = '[limits]\nhead = "1500ms"\nfirst_byte = "1500ms"\nhandshake = "1500ms"\nwrite_progress = "3s"\nidle = "2s"\n'
BLOB = "/blob/deaf?size=100000000"
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def is_served(node, bench):
    """A good neighbour, on each listener."""
    return curl(node.http("/blob/neighbour?size=1000")).status == 200 \
        and curl(node.https("/blob/neighbour?size=1000"), "--cacert", bench.ca).status == 200


def secure(bench, port, protocol):
    context = ssl.create_default_context(cafile=str(bench.ca))
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 15), server_hostname="localhost")


@check
def a_head_that_drips_is_cut_at_its_deadline(bench):
    node = bench.serve("drip", more=LIMITS)
    heads = {
        "HTTP/1.1": b"GET /blob/x?size=10 HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        "HTTP/2": H2_PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\x64\x01\x05\0\0\0\x01",
    }
    with ThreadPoolExecutor(len(heads)) as pool:
        took = dict(zip(heads, pool.map(lambda head: drip(node, head), heads.values())))
    assert is_served(node, bench)
    node.end()
    return "cut after " + ", ".join(f"{seconds:.1f} s ({name})" for name, seconds in took.items())


def drip(node, begin, limit=30):
    """Two octets a second until the node has enough of it; how long that took."""
    with socket.create_connection(("127.0.0.1", node.port("http")), 15) as slow:
        slow.sendall(begin)
        slow.settimeout(0.5)
        begun = time.monotonic()
        while time.monotonic() - begun < limit:
            try:
                slow.sendall(b"\x82")
                while slow.recv(4096):
                    pass
                break
            except TimeoutError:
                pass
            except ConnectionError:
                break
        took = time.monotonic() - begun
        assert took < limit, f"still open after {took:.1f} s"
        return took


@check
def whoever_never_reads_costs_little_and_is_cut(bench):
    """100 MB that stay in the node's hands on each protocol, ten times."""
    node = bench.serve("deaf", more=LIMITS)
    assert is_served(node, bench)
    process, count = node.process, 10
    process.forget_memory_peak()
    before = process.memory()
    request = f"GET {BLOB} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    deaf = []
    for _ in range(count):
        clear = socket.create_connection(("127.0.0.1", node.port("http")), 15)
        tls = secure(bench, node.port("https"), "http/1.1")
        h2 = secure(bench, node.port("https"), "h2")
        clear.sendall(request)
        tls.sendall(request)
        h2.sendall(_h2_request(BLOB))
        deaf += [clear, tls, h2]

    async def over_h3():
        async with client(node.port("https"), bench.ca, polite=False, max_stream_data=1 << 20) as quiet:
            # It gives no more room than it gave at first.
            quiet._quic._write_connection_limits = quiet._quic._write_stream_limits = lambda **_: None
            streams = [quiet.begin(BLOB) for _ in range(count)]
            over = lambda: quiet.closed is not None or all(quiet.answer(stream).reset is not None for stream in streams)  # noqa: E731
            await quiet.until(over, "an end to streams that nobody reads")
    asyncio.run(over_h3())
    connections = lambda: sum(node.api("/status")["connections"].values())  # noqa: E731
    until(lambda: connections() == 0, "those who do not read are cut")
    grown = process.memory_peak() - before
    # The cache's ceiling, which the blob fills if it can, and what 40 connections may hold on top.
    assert grown < (64 + 96) * MIB, f"{grown / MIB:.0f} MiB more"
    assert is_served(node, bench)
    for connection in deaf:
        connection.close()
    node.end()
    return f"{grown / MIB:.0f} MiB at most"


def _h2_request(path):
    """Preface, SETTINGS with a window beyond the blob, a window for the connection, one request; by hand."""
    def frame(kind, flags, stream, payload):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    settings = (4).to_bytes(2, "big") + (2**31 - 1).to_bytes(4, "big")
    head = b"\x82\x87\x04" + bytes([len(path)]) + path.encode() + b"\x01\x09localhost"
    return H2_PREFACE + frame(4, 0, 0, settings) + frame(8, 0, 0, (2**31 - 70_000).to_bytes(4, "big")) \
        + frame(1, 5, 1, head)


@check
def two_hundred_connections_that_say_nothing_hold_up_nobody(bench):
    node = bench.serve("silent", more=LIMITS)
    process = node.process
    assert is_served(node, bench)
    before = process.memory()
    silent = [socket.create_connection(("127.0.0.1", node.port(kind)), 15) for _ in range(100) for kind in ("http", "https")]
    begun = time.monotonic()
    assert is_served(node, bench), "nobody else is served"
    took = time.monotonic() - begun
    grown = process.memory() - before
    assert grown < 32 * MIB, f"{grown / MIB:.0f} MiB more"
    for connection in silent:
        try:
            while connection.recv(4096):
                pass
        except ConnectionError:
            pass
        connection.close()
    cut = time.monotonic() - begun
    assert cut < 60, f"closed after {cut:.1f} s"
    assert is_served(node, bench)
    node.end()
    return f"a neighbour is served in {took * 1000:.0f} ms, the silent ones are cut after {cut:.1f} s"
