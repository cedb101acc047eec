"""A network of one's own: loopback as a wire would be, whatever the machine's defaults are."""

import os
import shlex
import sys

_INSIDE = "WEIR_OWN_NETWORK"


def enter():
    """As root starts this program again inside a network namespace whose loopback has an MTU of 1500 and whose TCP is paced by
    cubic; says on what network we are. Loopback's own MTU flatters QUIC, and BBR, where it is the default, paces bodies on
    loopback to a fraction."""
    if os.environ.get(_INSIDE):
        return "a namespace of its own, MTU 1500, cubic"
    if os.geteuid() != 0:
        return "the machine's loopback, with its MTU and its congestion control: not root"
    routes = "; ".join(
        f"ip route change table local local {net} dev lo proto kernel scope host src 127.0.0.1 congctl cubic"
        for net in ("127.0.0.0/8", "127.0.0.1"))
    again = shlex.join([sys.executable, *sys.argv])
    os.environ[_INSIDE] = "1"
    os.execvp("unshare", ["unshare", "-n", "sh", "-c", f"ip link set lo mtu 1500 up && {routes} && exec {again}"])
