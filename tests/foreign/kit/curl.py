"""curl as a client: one request, its answer taken apart."""

import dataclasses
import subprocess

from .processes import run

H1 = ["--http1.1"]
H2 = ["--http2"]
H2_CLEARTEXT = ["--http2-prior-knowledge"]


@dataclasses.dataclass
class Answer:
    status: int
    version: str
    fields: dict
    body: bytes
    code: int


def curl(url, *arguments, seconds=60):
    """One request. `code` is curl's own: 0 where it holds the answer to be whole."""
    ended = run(["curl", "--silent", "--globoff", "--include", "--max-time", str(seconds), *arguments, url], seconds + 5)
    head, _, body = ended.stdout.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    start = lines[0].split()
    if len(start) < 2:
        return Answer(0, "", {}, b"", ended.returncode)
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), []).append(value.strip())
    return Answer(int(start[1]), start[0], fields, body, ended.returncode)


def download(url, path, *arguments, seconds=60):
    """A body into a file."""
    subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", "--globoff", "--max-time", str(seconds), *arguments, "--output", path, url],
        check=True, timeout=seconds + 5, capture_output=True)
