"""ffmpeg as a player and as a judge: every frame of the demo's clip carries its number in a row of blocks.

The lowest ninth of the picture is 16 blocks: white, black, then the frame number (0 to 479) in 14 bits, most
significant first; luma above 128 is 1 (loadtest/media/make.sh).
"""

from .processes import run

LOOP = 480
FPS = 30
RATE = 48_000
_ROW = "crop=iw:ih/9:0:ih-ih/9,scale=16:1:flags=area,format=gray"


def decode(source, folder, name, *, streams=("0:v:0", "0:a:0"), seconds=None, more=()):
    """Plays `source` to its end, or for `seconds`; the numbers of its frames and how many audio samples it has."""
    picture, sound = folder / f"{name}.gray", folder / f"{name}.pcm"
    length = ["-t", str(seconds)] if seconds else []
    ended = run(
        ["ffmpeg", "-nostdin", "-v", "error", "-xerror", *more, *source,
         "-map", streams[0], *length, "-fps_mode", "passthrough", "-vf", _ROW, "-f", "rawvideo", picture,
         "-map", streams[1], *length, "-ac", "1", "-ar", str(RATE), "-f", "s16le", sound],
        seconds=(seconds or 0) + 90)
    said = ended.stderr.decode(errors="replace").strip()
    assert ended.returncode == 0 and not said, f"ffmpeg ended with {ended.returncode}: {said[-800:]}"
    rows = picture.read_bytes()
    return [_number(rows[at:at + 16]) for at in range(0, len(rows), 16)], sound.stat().st_size // 2


def frames_played(source, folder, name, *, seconds):
    """Plays any stream for `seconds`, and counts its frames."""
    counted = folder / f"{name}.frames"
    ended = run(["ffmpeg", "-nostdin", "-v", "error", *source, "-map", "0:v:0", "-t", str(seconds), "-fps_mode", "passthrough",
                 "-f", "framecrc", counted], seconds=seconds + 90)
    said = ended.stderr.decode(errors="replace").strip()
    assert ended.returncode == 0, f"ffmpeg ended with {ended.returncode}: {said[-800:]}"
    return sum(not line.startswith("#") for line in counted.read_text().splitlines())


def _number(row):
    bits = [luma > 128 for luma in row]
    assert bits[:2] == [True, False], f"no frame of the clip: {row.hex()}"
    return sum(bit << place for place, bit in enumerate(reversed(bits[2:])))


def judge(frames, samples, at_least):
    """Frames follow one another over the end of the loop, and the sound is as long as the picture."""
    assert len(frames) >= at_least, f"{len(frames)} frames of {at_least}"
    gaps = [(at, one, two) for at, (one, two) in enumerate(zip(frames, frames[1:])) if two != (one + 1) % LOOP]
    assert not gaps, f"gaps (place, frame, next frame): {gaps[:5]}"
    loops = sum(two == 0 for two in frames[1:])
    assert loops >= 1, f"the loop's end was not played: {frames[0]} to {frames[-1]}"
    picture, sound = len(frames) / FPS, samples / RATE
    assert abs(picture - sound) < 0.4, f"{picture:.2f} s of picture, {sound:.2f} s of sound"
    return f"{len(frames)} frames, {loops} loop ends, {sound:.1f} s of sound"
