"""aioquic as a client: whole requests by its own HTTP/3, and streams of octets that its HTTP/3 would never send."""

import asyncio
import contextlib
import ssl
import urllib.parse

import pylsqpack
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated, StopSendingReceived, StreamDataReceived, StreamReset,
)

DATA, HEADERS, SETTINGS = 0x0, 0x1, 0x4
PATIENCE = 20


class Answer:
    """What came on one stream."""

    def __init__(self):
        self.fields, self.body = [], b""
        self.ended, self.reset = False, None

    @property
    def status(self):
        return next((int(value) for name, value in self.fields if name == b":status"), None)

    def field(self, name):
        return next((value.decode() for key, value in self.fields if key == name.encode()), None)


class Client(QuicConnectionProtocol):
    """A connection. `polite` ones speak aioquic's HTTP/3; the others send what they are told to."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = None
        self.answers = {}
        self.stopped = {}
        self.buffers = {}
        self.closed = None
        self.close_reason = ""
        self._changed = asyncio.Event()
        self._decoder = pylsqpack.Decoder(0, 0)

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.closed, self.close_reason = event.error_code, event.reason_phrase
        elif isinstance(event, StreamReset):
            self.answer(event.stream_id).reset = event.error_code
        elif isinstance(event, StopSendingReceived):
            self.stopped[event.stream_id] = event.error_code
        elif self.http is not None:
            for event in self.http.handle_event(event):
                self._of_http(event)
        elif isinstance(event, StreamDataReceived) and event.stream_id % 4 == 0:
            self._of_octets(event)
        self._changed.set()

    def _of_http(self, event):
        if isinstance(event, HeadersReceived):
            self.answer(event.stream_id).fields += event.headers
        elif isinstance(event, DataReceived):
            self.answer(event.stream_id).body += event.data
        else:
            return
        self.answer(event.stream_id).ended |= event.stream_ended

    def _of_octets(self, event):
        """Frames of an answer, field sections without the dynamic table."""
        answer = self.answer(event.stream_id)
        buffer = self.buffers.pop(event.stream_id, b"") + event.data
        while (frame := _take_frame(buffer)) is not None:
            kind, payload, buffer = frame
            if kind == HEADERS:
                answer.fields += self._decoder.feed_header(event.stream_id, payload)[1]
            elif kind == DATA:
                answer.body += payload
        self.buffers[event.stream_id] = buffer
        answer.ended |= event.end_stream

    def answer(self, stream):
        return self.answers.setdefault(stream, Answer())

    async def until(self, holds, what, seconds=PATIENCE):
        """Waits for events until `holds()`."""
        async def wait():
            while not holds():
                self._changed.clear()
                await self._changed.wait()
        try:
            await asyncio.wait_for(wait(), seconds)
        except asyncio.TimeoutError:
            closed = f", closed with {self.closed:#x} {self.close_reason}" if self.closed is not None else ""
            raise AssertionError(f"not within {seconds} s: {what}{closed}") from None

    def open(self):
        return self._quic.get_next_available_stream_id()

    def send(self, stream, octets, end=False):
        self._quic.send_stream_data(stream, octets, end)
        self.transmit()

    def stop(self, stream, code=0x10c):
        """Wants no more of an answer."""
        self._quic.stop_stream(stream, code)
        self._quic.reset_stream(stream, code)
        self.transmit()

    def never_stops(self, stream):
        """Is told to stop sending, and goes on."""
        self._quic._streams[stream].sender.reset = lambda **_: None

    def settings(self, octets=None):
        """Opens the control stream: its type, then SETTINGS (or what is given in their place)."""
        control = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self.send(control, b"\x00" + (frame(SETTINGS, b"") if octets is None else octets))
        return control

    async def get(self, path, method="GET", authority="localhost", fields=(), seconds=PATIENCE):
        """A polite request, to its end."""
        stream = self.begin(path, method, authority, fields)
        answer = self.answer(stream)
        done = lambda: answer.ended or answer.reset is not None or self.closed is not None  # noqa: E731
        await self.until(done, f"an answer to {method} {path}", seconds)
        return answer

    def begin(self, path, method="GET", authority="localhost", fields=()):
        """A polite request; the stream it is on."""
        stream = self.open()
        head = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path), *fields]
        if self.http is not None:
            self.http.send_headers(stream, [(name.encode(), value.encode()) for name, value in head], end_stream=True)
            self.transmit()
        else:
            self.send(stream, frame(HEADERS, section(head)), end=True)
        return stream

    async def is_served(self):
        """Whether this connection still gets answers."""
        return (await self.get("/.weir/live")).status == 200


@contextlib.asynccontextmanager
async def client(port, ca, polite=True, host="127.0.0.1", settings=True, **options):
    """A connection to a node on this machine."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost", **options)
    configuration.verify_mode = ssl.CERT_REQUIRED
    configuration.load_verify_locations(str(ca))
    async with connect(host, port, configuration=configuration, create_protocol=Client) as connection:
        if polite:
            connection.http = H3Connection(connection._quic)
            connection.transmit()
        elif settings:
            connection.settings()
        yield connection


def fetch(url, ca, method="GET", fields=(), seconds=PATIENCE):
    """One request on a connection of its own. aioquic takes a length without a body for a fault of the server, even in
    answer to HEAD (1.7), so such answers are read by hand."""
    polite = method != "HEAD" and not any(name == "if-none-match" for name, _ in fields)
    parts = urllib.parse.urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")

    async def get():
        async with client(parts.port, ca, polite, host=parts.hostname) as connection:
            return await connection.get(path, method, fields=fields, seconds=seconds)
    return asyncio.run(get())


def varint(value, width=None):
    """RFC 9000 §16; `width` in octets chooses a longer form."""
    for octets, tag in ((1, 0), (2, 1), (4, 2), (8, 3)):
        if (width or 0) <= octets and value < 1 << (8 * octets - 2):
            return (value | tag << (8 * octets - 2)).to_bytes(octets, "big")
    raise ValueError(value)


def frame(kind, payload, announce=None):
    """A frame; `announce` lies about its length."""
    return varint(kind) + varint(len(payload) if announce is None else announce) + payload


def section(fields):
    """A field section of literals alone (RFC 9204 §4.5.6), whatever their names are."""
    octets = b"\x00\x00"
    for name, value in fields:
        name, value = name.encode("latin-1"), value.encode("latin-1")
        octets += _integer(0x20, 3, len(name)) + name + _integer(0x00, 7, len(value)) + value
    return octets


def _integer(pattern, bits, value):
    """RFC 7541 §5.1"""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([pattern | value])
    octets, value = bytes([pattern | limit]), value - limit
    while value >= 128:
        octets, value = octets + bytes([value % 128 | 128]), value // 128
    return octets + bytes([value])


def _take_varint(octets):
    if not octets or len(octets) < 1 << (octets[0] >> 6):
        return None
    width = 1 << (octets[0] >> 6)
    return int.from_bytes(octets[:width], "big") & ((1 << (8 * width - 2)) - 1), octets[width:]


def _take_frame(octets):
    if (kind := _take_varint(octets)) is None or (length := _take_varint(kind[1])) is None:
        return None
    rest = length[1]
    return None if len(rest) < length[0] else (kind[0], rest[: length[0]], rest[length[0]:])
