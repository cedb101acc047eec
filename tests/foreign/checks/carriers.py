"""ffmpeg plays a gated stream: it is given one link, repeats no field and keeps no cookie."""

import base64
import hashlib
import hmac
import json
import os
import time

from kit import media
from kit.weir import Node
from . import check

SECRET = "a secret of thirty-two octets, or more of them"


def token(**claims):
    """A JWT by hand: HS256 over two parts."""
    def part(octets):
        return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
    said = {"iss": "https://issuer.test", "exp": int(time.time()) + 300, "path": "/live"} | claims
    signed = ".".join(part(json.dumps(piece).encode()) for piece in ({"alg": "HS256", "typ": "JWT"}, said))
    return signed + "." + part(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))


def gated_node(bench, name, access=""):
    node_folder = bench.folder / f"{name}.secrets"
    node_folder.mkdir()
    secret = node_folder / "issuer.secret"
    secret.write_text(SECRET)
    os.chmod(secret, 0o600)
    return Node(bench.folder, name, f"""
[listen]
http = ["127.0.0.1:0"]
admin = "ADMIN"
[origins.main]
url = "{bench.origin.url}"
[access.members]
issuer = "https://issuer.test"
hmac_secret_file = "{secret}"
{access}
[[route]]
name = "gated"
path = "/live/"
origins = ["main"]
access = "members"
""")


@check
def ffmpeg_plays_a_gated_stream_by_one_link(bench):
    """In every carrier that a link can be; afterwards the node says that it refused nothing."""
    node = gated_node(bench, "gated-player")
    seconds = 120 if bench.is_long else 12
    told = []
    for name, link in {
        "query": "/live/master.m3u8?token={}",
        "path": "/.weir/t/{}/live/master.m3u8",
        "media playlist": "/live/v1/media.m3u8?token={}",
    }.items():
        url = node.http(link.format(token(sub=name, jti=name)))
        frames = media.frames_played(["-i", url], bench.folder, f"gated-{name.replace(' ', '-')}", seconds=seconds)
        assert frames >= seconds * media.FPS - 10, f"{name}: {frames} frames"
        told.append(f"{name}: {frames} frames")
    refused = {name: count for name, count in node.metrics().items() if name.startswith("weir_refusals_total") and count}
    assert not refused, refused
    node.end()
    return "; ".join(told)
