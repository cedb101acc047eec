"""HTTP/3 as nobody should speak it, by hand over aioquic: refused as RFC 9114 says, while a neighbour is served."""

import asyncio
import time

from kit.h3 import DATA, HEADERS, SETTINGS, client, frame, section, varint
from kit.processes import until
from kit.weir import MIB
from . import check

HEAD = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/blob/small?size=1000")]
POST = [(":method", "POST"), *HEAD[1:]]
MESSAGE_ERROR, FRAME_UNEXPECTED, MISSING_SETTINGS, CLOSED_CRITICAL_STREAM = 0x10E, 0x105, 0x10A, 0x104
FRAME_ERROR, EXCESSIVE_LOAD, STREAM_CREATION_ERROR, DECOMPRESSION_FAILED = 0x106, 0x107, 0x103, 0x200
SETTINGS_ERROR, REQUEST_INCOMPLETE, ID_ERROR = 0x109, 0x10D, 0x108


def head_without(name):
    return [field for field in HEAD if field[0] != name]


def head(*fields):
    return frame(HEADERS, section([*HEAD, *fields]))


# Malformed messages (RFC 9114 §4.1.2): the stream ends with H3_MESSAGE_ERROR, and the connection goes on.
MALFORMED = {
    "a name in capitals": head(("X-Capital", "1")),
    "two :path": frame(HEADERS, section([*HEAD, (":path", "/other")])),
    "two :method": frame(HEADERS, section([(":method", "GET"), *HEAD])),
    "no :path": frame(HEADERS, section(head_without(":path"))),
    "no :method": frame(HEADERS, section(head_without(":method"))),
    "no :scheme": frame(HEADERS, section(head_without(":scheme"))),
    "an empty :path": frame(HEADERS, section([*head_without(":path"), (":path", "")])),
    "a pseudo field after a field": frame(HEADERS, section([HEAD[0], ("accept", "*/*"), *HEAD[1:]])),
    "an unknown pseudo field": frame(HEADERS, section([*HEAD, (":protocol-of-mine", "x")])),
    "a response's pseudo field": frame(HEADERS, section([*HEAD, (":status", "200")])),
    "connection": head(("connection", "keep-alive")),
    "transfer-encoding": head(("transfer-encoding", "chunked")),
    "keep-alive": head(("keep-alive", "timeout=5")),
    "upgrade": head(("upgrade", "h2c")),
    "te that is not trailers": head(("te", "gzip")),
    "a line break in a value": head(("x-break", "a\r\nset-cookie: b")),
    "a zero octet in a value": head(("x-zero", "a\0b")),
    "a space in a name": head(("x y", "1")),
    "a content-length that is no number": head(("content-length", "many")),
    "two different content-lengths": head(("content-length", "3"), ("content-length", "4")),
    "more body than content-length": frame(HEADERS, section([*POST, ("content-length", "3")])) + frame(DATA, b"four"),
    "less body than content-length": frame(HEADERS, section([*POST, ("content-length", "5")])) + frame(DATA, b"four"),
    "a length without a body": frame(HEADERS, section([*POST, ("content-length", "5")])),
    "a pseudo field in trailers":
        frame(HEADERS, section(POST)) + frame(DATA, b"x") + frame(HEADERS, section([(":path", "/")])),
}

# What ends the connection, sent on a request stream.
ENDS_CONNECTION = {
    "DATA before HEADERS": (frame(DATA, b"x") + head(), {FRAME_UNEXPECTED}),
    "SETTINGS on a request stream": (frame(SETTINGS, b"") + head(), {FRAME_UNEXPECTED}),
    "PUSH_PROMISE from a client": (head() + frame(0x5, b"\0"), {FRAME_UNEXPECTED}),
    "HEADERS after trailers": (
        frame(HEADERS, section(POST)) + 2 * frame(HEADERS, section([("x-a", "1")])), {FRAME_UNEXPECTED}),
    "a frame type of HTTP/2": (frame(0x6, b"12345678") + head(), {FRAME_UNEXPECTED}),
    "a field section that points nowhere": (frame(HEADERS, b"\0\0\xff\xff\x7f"), {DECOMPRESSION_FAILED}),
    "the dynamic table that was not allowed": (frame(HEADERS, b"\x02\x00\x80"), {DECOMPRESSION_FAILED}),
    "a frame cut by the end of the stream": (frame(HEADERS, section(HEAD)[:5], announce=400), {FRAME_ERROR, REQUEST_INCOMPLETE}),
}

# What ends the connection, sent as the control stream.
ENDS_CONTROL = {
    "no SETTINGS first": (frame(0x7, b"\0"), {MISSING_SETTINGS}),
    "SETTINGS twice": (2 * frame(SETTINGS, b""), {FRAME_UNEXPECTED}),
    "DATA on the control stream": (frame(SETTINGS, b"") + frame(DATA, b"x"), {FRAME_UNEXPECTED}),
    "a setting of HTTP/2": (frame(SETTINGS, varint(0x3) + varint(100)), {SETTINGS_ERROR}),
    "a setting twice": (frame(SETTINGS, 2 * (varint(0x6) + varint(100))), {SETTINGS_ERROR}),
    "SETTINGS of a broken length": (frame(SETTINGS, b"\x06"), {FRAME_ERROR}),
    "a cancelled push that was never promised": (frame(SETTINGS, b"") + frame(0x3, b"\x09"), {ID_ERROR}),
}


async def with_neighbour(bench, action):
    """Runs `action(port)` and lets a polite neighbour ask before, and after."""
    port = bench.node.port("https")
    async with client(port, bench.ca) as neighbour:
        assert await neighbour.is_served()
        said = await action(port)
        assert await neighbour.is_served(), "the neighbour is not served any more"
    return said


@check
def malformed_messages_end_their_stream_alone(bench):
    async def action(port):
        async with client(port, bench.ca, polite=False) as rude:
            for name, octets in MALFORMED.items():
                stream = rude.open()
                rude.send(stream, octets, end=True)
                answer = rude.answer(stream)
                await rude.until(
                    lambda: answer.reset is not None or answer.ended or rude.closed is not None, f"an end after {name}")
                refused = answer.reset == MESSAGE_ERROR or (answer.status == 400 and answer.ended)
                assert refused, f"{name}: reset {answer.reset}, status {answer.status}, closed {rude.closed}"
            assert await rude.is_served(), "the connection ended with them"
        return f"{len(MALFORMED)} kinds"
    return asyncio.run(with_neighbour(bench, action))


@check
def what_breaks_http3_ends_the_connection_with_the_right_code(bench):
    async def action(port):
        for name, (octets, codes) in ENDS_CONNECTION.items():
            async with client(port, bench.ca, polite=False) as rude:
                rude.send(rude.open(), octets, end=True)
                await ends(rude, name, codes)
        for name, (octets, codes) in ENDS_CONTROL.items():
            async with client(port, bench.ca, polite=False, settings=False) as rude:
                rude.settings(octets)
                await ends(rude, name, codes)
        async with client(port, bench.ca, polite=False) as rude:
            rude.settings()
            await ends(rude, "a second control stream", {STREAM_CREATION_ERROR})
        async with client(port, bench.ca, polite=False, settings=False) as rude:
            control = rude.settings()
            rude.send(control, b"", end=True)
            await ends(rude, "the end of the control stream", {CLOSED_CRITICAL_STREAM})
        return f"{len(ENDS_CONNECTION) + len(ENDS_CONTROL) + 2} kinds"
    return asyncio.run(with_neighbour(bench, action))


async def ends(rude, name, codes):
    await rude.until(lambda: rude.closed is not None, f"the end of the connection after {name}")
    assert rude.closed in codes, f"{name}: {rude.closed:#x} {rude.close_reason}"


@check
def a_head_of_2_gib_costs_no_memory(bench):
    """Announced as one frame, and sent on for as long as the node takes it."""
    process = bench.node.process

    async def action(port):
        for kind, begin in (("HEADERS", b""), ("trailers", frame(HEADERS, section(POST))), ("an unknown frame", b"")):
            async with client(port, bench.ca, polite=False) as rude:
                stream = rude.open()
                announced = varint(0x21 if "unknown" in kind else HEADERS) + varint(2 << 30)
                answer = rude.answer(stream)
                over = lambda: rude.closed is not None or stream in rude.stopped or answer.ended  # noqa: E731
                rude.send(stream, begin + announced)
                rude.never_stops(stream)
                for _ in range(8 * 16):
                    if rude.closed is not None:
                        break
                    rude.send(stream, b"a" * (64 << 10))
                    await asyncio.sleep(0.005)
                await rude.until(over, f"an end to 2 GiB of {kind}")
                code = rude.stopped.get(stream)
                assert answer.status == 431 or rude.closed in {FRAME_ERROR, EXCESSIVE_LOAD}, \
                    f"{kind}: status {answer.status}, reset {answer.reset}, stopped with {code}, closed {rude.closed}"
    process.forget_memory_peak()
    before = process.memory()
    asyncio.run(with_neighbour(bench, action))
    grown = process.memory_peak() - before
    assert grown < 96 * MIB, f"{grown / MIB:.0f} MiB more"
    return f"{grown / MIB:.1f} MiB at most"


@check
def a_hundred_cancelled_requests_leave_no_trace(bench):
    """Requests whose origin takes its time are given up; the places and the tasks are free again."""
    async def action(port):
        async with client(port, bench.ca, polite=False) as fickle:
            for round_ in range(100 if bench.is_long else 2):
                paths = [f"/blob/slow-{round_}-{n}?size=1000&delay_ms=120000" for n in range(50)]
                streams = [fickle.begin(path) for path in paths]
                await asyncio.sleep(0.2)
                for stream in streams:
                    fickle.stop(stream)
                assert fickle.closed is None, f"round {round_}: closed with {fickle.closed:#x} {fickle.close_reason}"
                assert await fickle.is_served(), f"round {round_}: not served after cancelling"
    in_flight = lambda: next(origin["in_flight"] for origin in bench.node.api("/status")["origins"])  # noqa: E731
    asyncio.run(with_neighbour(bench, action))
    begun = time.monotonic()
    until(lambda: in_flight() == 0, "no request waits for the origin any more")
    return f"the origin's places are free after {1000 * (time.monotonic() - begun):.0f} ms"
