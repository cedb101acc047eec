"""ffmpeg plays through the node, and what came through the node is decoded and judged frame by frame."""

import re
from concurrent.futures import ThreadPoolExecutor

from kit import h3, media
from kit.curl import H1, H2, H2_CLEARTEXT, curl
from . import check


@check
def ffmpeg_plays_beyond_the_end_of_the_loop_in_clear_and_over_tls(bench):
    """In real time, both at once. Debian's ffmpeg speaks HTTP/1.1 alone, and hands no authority to its playlists."""
    seconds = 300 if bench.is_long else 20
    urls = {"clear": bench.demo.page, "tls": bench.demo.page_https}

    def play(way):
        frames, samples = media.decode(
            ["-i", urls[way] + "/live/master.m3u8"], bench.folder, f"player-{way}", seconds=seconds)
        return f"{way}: {media.judge(frames, samples, at_least=seconds * media.FPS - 5)}"
    with ThreadPoolExecutor(len(urls)) as pool:
        return "; ".join(pool.map(play, urls))


@check
def no_frame_is_missing_in_what_each_protocol_brings(bench):
    """All complete segments of the live window, which is longer than the loop."""
    demo = bench.demo

    def by_curl(base, *flags):
        def get(path):
            answer = curl(base + path, "--cacert", demo.ca, *flags)
            assert (answer.code, answer.status) == (0, 200), f"{path}: {answer.status}, curl {answer.code}"
            return answer.body
        return get

    def by_aioquic(path):
        answer = h3.fetch(demo.page_https + path, demo.ca)
        assert (answer.status, answer.ended) == (200, True), f"{path}: {answer.status}"
        return answer.body
    ways = {
        "h1": by_curl(demo.page, *H1), "h2c": by_curl(demo.page, *H2_CLEARTEXT),
        "h2": by_curl(demo.page_https, *H2), "h3": by_aioquic,
    }
    return "; ".join(f"{name}: {_judge_window(bench, name, get)}" for name, get in ways.items())


def _judge_window(bench, name, get):
    files = []
    picture, sound = (_segments(get, f"/live/{rendition}/") for rendition in ("v1", "a0"))
    numbers = sorted(picture.keys() & sound.keys())
    for rendition in ("v1", "a0"):
        path = bench.folder / f"window-{name}-{rendition}.mp4"
        pieces = [get(f"/live/{rendition}/init.mp4"), *(get(f"/live/{rendition}/seg-{number}.m4s") for number in numbers)]
        path.write_bytes(b"".join(pieces))
        files += ["-i", path]
    frames, samples = media.decode(files, bench.folder, f"window-{name}", streams=("0:v:0", "1:a:0"))
    assert len(frames) == 60 * len(numbers), f"{len(frames)} frames in {len(numbers)} segments"
    return media.judge(frames, samples, at_least=media.LOOP + 60)


def _segments(get, folder):
    names = re.findall(r"^seg-(\d+)\.m4s$", get(folder + "media.m3u8").decode(), re.MULTILINE)
    # The oldest ones may leave while the others are fetched.
    return {int(name): name for name in names[5:]}
