"""Three nodes of one region as processes: each cold object is fetched once, and one of them is killed in the middle."""

import concurrent.futures
import http.client
import signal
import socket
import threading
import zlib

from kit import weir

SECRET = "a secret that all nodes of the region know"
SIZE = 200_000


class Region:
    """Three nodes that list each other, in front of the stage's origin."""

    def __init__(self, stage):
        # Sockets that share their port with the nodes and never listen keep it from everybody else.
        self.kept = [socket.socket() for _ in range(3)]
        for kept in self.kept:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            kept.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{kept.getsockname()[1]}" for kept in self.kept]
        (stage.folder / "region.secret").write_text(SECRET)
        listed = ", ".join(f'"{address}"' for address in addresses)
        self.nodes = []
        for index, own in enumerate(addresses):
            peers = f'[peers]\nself = "{own}"\nnodes = [{listed}]\nsecret = "{stage.folder}/region.secret"\n'
            toml = stage.toml().replace("[listen]\n", f'name = "node-{index}"\n[listen]\npeers = "{own}"\n') + peers
            self.nodes.append(weir.Node(stage.folder, f"region-{index}", toml))


def fetch(connection, path):
    """Octets and checksum of one object; fails where it is not whole."""
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, f"{path}: {answer.status} {body[:200]}"
    return len(body), zlib.crc32(body)


def ask(node, paths, stopped=None):
    """Each object over one connection, compared by what it comes to."""
    host, port = node.bound["http"][0].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    found = {}
    for path in paths:
        try:
            found[path] = fetch(connection, path)
        except (OSError, http.client.HTTPException):
            if stopped is None or not stopped.is_set():
                raise
            break
    return found


def everybody(region, paths, killed=None, kill_after=None):
    """Four viewers of each node ask for all objects at once, each in an order of their own."""
    stopped = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        asking = []
        for index, node in enumerate(region.nodes):
            for viewer in range(4):
                start = (index * 4 + viewer) * len(paths) // 12
                turned = paths[start:] + paths[:start]
                asking.append(pool.submit(ask, node, turned, stopped if index == killed else None))
        if killed is not None:
            kill_after()
            stopped.set()
            region.nodes[killed].process.signal(signal.SIGKILL)
        found = [one.result() for one in asking]
    sums = {}
    for one in found:
        for path, what in one.items():
            assert sums.setdefault(path, what) == what, f"{path}: {what} beside {sums[path]}"
            assert what[0] == SIZE, f"{path}: {what[0]} octets"
    return sums


def thousand_objects(stage, say):
    """1,000 cold objects asked of all three: 1,000 requests. Another 1,000, and one node is killed in the middle."""
    region = Region(stage)
    count = 200 if stage.short else 1_000
    paths = [f"/blob/region{index}?size={SIZE}" for index in range(count)]
    everybody(region, paths)
    asked = sum(stage.origin.asked(path) for path in paths)
    say("region", "h1", f"{count} objects asked of three nodes at once: {asked} requests to the origin")
    assert asked == count

    again = [f"/blob/killed{index}?size={SIZE}" for index in range(count)]

    def when_half_is_there():
        while sum(stage.origin.asked(path) for path in again[::10]) < len(again) // 20:
            pass

    everybody(region, again, 2, when_half_is_there)
    asked = sum(stage.origin.asked(path) for path in again)
    say("region", "h1", f"one of three killed in the middle of {count}: no viewer of the others noticed; {asked} requests")
