"""A plain live ladder, written by ffmpeg and served by nginx: through the node its players wait in held reloads, and hear of
each segment soon after it was published."""

import os
import re
import threading
import time

from kit import media, weir
from kit.curl import H1, H2, curl
from kit.nginx import serves as nginx_serves
from kit.processes import Process, free_port, until
from . import check

RENDITIONS = ("0", "1")


@check
def a_ladder_of_ffmpeg_behind_nginx_becomes_one_with_blocking_reloads(bench):
    """Each way asks for the segment that comes next, and gets it in time to be first; ffmpeg then plays through the node."""
    folder = bench.folder / "ladder"
    for rendition in RENDITIONS:
        (folder / "www" / rendition).mkdir(parents=True)
    packager = _package(folder, bench)
    port = free_port()
    nginx = nginx_serves(bench.folder, "storage", f"""
  types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }}""")
    lists = [folder / "www" / rendition / "index.m3u8" for rendition in RENDITIONS]
    until(lambda: all(path.exists() and path.read_text().count("#EXTINF") >= 3 for path in lists), "three segments", 40)
    toml = bench.toml().replace(bench.origin.url, f"http://127.0.0.1:{port}")
    node = weir.Node(bench.folder, "before-nginx", toml)
    written, ends = _watch(lists[0], packager)
    delays, rounds = [], 10 if bench.is_long else 4
    for turn in range(rounds):
        base, flags = [(node.http(), H1), (node.https(), ("--cacert", bench.ca, *H2))][turn % 2]
        first = _get(base + "/0/index.m3u8", flags)
        assert "CAN-BLOCK-RELOAD=YES" in first, first
        msn = _next(first)
        held = _get(f"{base}/0/index.m3u8?_HLS_msn={msn}", flags)
        heard = time.time()
        assert _next(held) > msn, f"asked for {msn}, the list ends before {_next(held)}"
        delays.append(heard - until(lambda: written.get(msn), f"segment {msn} was seen on disk"))
    frames = media.frames_played(["-i", node.http("/master.m3u8")], bench.folder, "ladder-player", seconds=6)
    assert frames >= 100, f"{frames} frames in 6 s"
    ends.set()
    node.end(), nginx.end(), packager.end()
    mean = sum(delays) / len(delays)
    return f"{rounds} segments known {mean * 1e3:.0f} ms after they were published, on average; {frames} frames played"


def _package(folder, bench):
    sources = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=frequency=440"]
    video = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-sc_threshold", "0", "-b:v:0", "200k", "-b:v:1", "400k"]
    hls = ["-f", "hls", "-hls_time", "2", "-hls_list_size", "8", "-hls_flags", "delete_segments+independent_segments",
           "-master_pl_name", "master.m3u8", "-var_stream_map", "v:0,a:0 v:1,a:1",
           "-hls_segment_filename", folder / "www/%v/s%d.ts", folder / "www/%v/index.m3u8"]
    return Process(["ffmpeg", "-nostdin", "-v", "error", "-re", *sources, "-map", "0:v", "-map", "1:a", "-map", "0:v", "-map", "1:a",
                    *video, "-c:a", "aac", *hls], bench.folder, "packager")


def _watch(path, packager):
    """When each segment was first seen in the list on disk."""
    written, ends = {}, threading.Event()

    def look():
        while not ends.is_set() and packager.child.poll() is None:
            try:
                text = path.read_text()
            except OSError:
                continue
            if "#EXTINF" in text:
                written.setdefault(_next(text) - 1, os.stat(path).st_mtime)
            time.sleep(0.005)
    threading.Thread(target=look, daemon=True).start()
    return written, ends


def _get(url, flags):
    answer = curl(url, *flags, "--max-time", "20")
    assert (answer.code, answer.status) == (0, 200), f"{url}: {answer.status}, curl {answer.code}"
    return answer.body.decode()


def _next(text):
    first = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)
    return int(first[1] if first else 0) + text.count("#EXTINF")
