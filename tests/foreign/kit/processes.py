"""Processes that end with the run: each is known by its id, told to end at the end, and dies with this process."""

import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import tempfile
import time

_started = []
_kept = []
_libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def _dies_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """A child. What it says on standard error is kept in a file, to be shown where a check fails."""

    def __init__(self, arguments, folder, name, stdout=subprocess.DEVNULL):
        self.name = name
        self.errors = tempfile.NamedTemporaryFile(dir=folder, prefix=f"{name}-", suffix=".log", delete=False)
        self.child = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=self.errors, preexec_fn=_dies_with_parent)
        _started.append(self)

    @property
    def pid(self):
        return self.child.pid

    def said(self):
        with open(self.errors.name, errors="replace") as errors:
            return errors.read()

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, seconds):
        """The exit code; negative where a signal ended it."""
        return self.child.wait(timeout=seconds)

    def end(self, seconds=60):
        """Ends it, kindly first; the exit code."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(timeout=60)
        if self in _started:
            _started.remove(self)
        return self.child.returncode

    def memory(self):
        """Resident octets now."""
        return self._of_status("VmRSS")

    def memory_peak(self):
        """The most octets that were resident since `forget_memory_peak`."""
        return self._of_status("VmHWM")

    def cpu(self):
        """Seconds of CPU that it has used, all threads together."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def forget_memory_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w") as clear:
            clear.write("5")

    def _of_status(self, field):
        with open(f"/proc/{self.pid}/status") as status:
            line = next(line for line in status if line.startswith(field + ":"))
        return int(line.split()[1]) * 1024


def end_all():
    """Ends whatever is left, the youngest first."""
    for process in reversed(_started.copy()):
        process.end(seconds=3)


def run(arguments, seconds=90, **options):
    """Runs a program to its end: code, output, complaints."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True, timeout=seconds, preexec_fn=_dies_with_parent, **options)


def until(holds, what, seconds=60.0):
    """What is awaited comes within moments; only a failure, or a busy machine, takes longer. Looks until `holds()` is true, and returns what it was."""
    end = time.monotonic() + seconds
    while True:
        value = holds()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def allow_many_files(count=4096):
    """Checks with hundreds of sockets need more than a shell's usual limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def go_first():
    """As root this program and all it starts run before whatever else the machine does (SCHED_RR): a nice value counts for
    nothing between the sessions of a kernel that groups by session. Says whether it is so."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    except PermissionError:
        return "shares the machine with whatever runs"
    return "runs before whatever else the machine does"


def free_port():
    """A port of our own, for programs that cannot choose one themselves. Until this program ends a socket that never listens
    keeps it from all but servers, which share it with what does not listen (SO_REUSEADDR). The number is below those that the
    system gives away, so that it is not used for UDP either."""
    while True:
        kept = socket.socket()
        try:
            kept.bind(("127.0.0.1", random.randrange(10_000, 32_768)))
        except OSError:
            kept.close()
            continue
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _kept.append(kept)
        return kept.getsockname()[1]


def executable(name):
    """A program's path; Debian keeps daemons where a user's PATH does not look."""
    for folder in [*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/usr/local/sbin"]:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    raise AssertionError(f"{name} is not installed; tests/setup.sh installs it")
