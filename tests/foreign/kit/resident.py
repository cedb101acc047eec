"""What a node says that it holds, beside what the system says that it has."""

import time

from . import processes

MIB = 1 << 20
REST_SECONDS = 10
LEAST = 0.85


class Figures:
    """Both, in octets, now."""

    def __init__(self, node):
        said = node.api("/status")["memory"]
        self.accounted = sum(octets for kind, octets in said.items() if kind != "ceiling")
        self.resident = node.process.memory()


def fetch(node, name, count, size):
    """Asks for so many distinct objects of the demo origin, twenty at a time; how many answers were odd."""
    done = processes.run(
        ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{size_download}\\n", "--parallel",
         "--parallel-max", "20", node.http(f"/blob/{name}-[1-{count}]?size={size}")], 300)
    return count - done.stdout.decode().split("\n").count(f"200 {size}")


def judge(node, before, what, odd, say):
    """Rests, says both figures, and yields what is wrong with them."""
    time.sleep(REST_SECONDS)
    now = Figures(node)
    accounted, resident = now.accounted - before.accounted, now.resident - before.resident
    say("resident", "h1", f"{what}: {accounted / MIB:.0f} MiB accounted of {resident / MIB:.0f} resident, "
        f"{accounted / resident * 100:.1f} %; {odd} odd answers")
    if odd or accounted < LEAST * resident:
        yield f"{what}: {accounted / resident * 100:.1f} % accounted, {odd} odd answers"
