"""Strangers meet Weir: curl, aioquic, ffmpeg, HAProxy, nginx, OpenSSL, and clients that mean no good.

Starts all it needs itself, prints a line for each check, and ends all it started. Needs `cargo build --workspace` and
tests/setup.sh. `--long` runs the long forms; other arguments choose checks by a piece of their names.
"""

import argparse
import faulthandler
import importlib
import os
import pathlib
import pkgutil
import shutil
import signal
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import checks  # noqa: E402
from kit import processes, weir  # noqa: E402

LIMIT_SECONDS = {"short": 1800, "long": 3600}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="minutes instead of seconds")
    parser.add_argument("pieces", nargs="*", help="run only checks whose names hold one of these")
    arguments = parser.parse_args()
    length = "long" if arguments.long else "short"
    for module in sorted(pkgutil.iter_modules(checks.__path__), key=lambda module: module.name):
        importlib.import_module(f"checks.{module.name}")
    chosen = [function for function in checks.CHECKS
              if not arguments.pieces or any(piece in function.__name__ for piece in arguments.pieces)]
    processes.allow_many_files()
    begun, failed = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="weir-foreign-", ignore_cleanup_errors=True) as folder:
        leave_in_time(LIMIT_SECONDS[length], folder)
        try:
            bench = weir.Bench(folder, length)
            failed = sum(not passes(function, bench) for function in chosen)
        finally:
            processes.end_all()
    print(f"{len(chosen) - failed} passed, {failed} failed in {time.monotonic() - begun:.0f} s", flush=True)
    # Threads of a check that failed may still wait for something; nobody waits for them.
    os._exit(1 if failed or not chosen else 0)


def leave_in_time(seconds, folder):
    """At the end of the time, and where somebody interrupts, nothing is waited for: all children end with this process."""
    def leave(number, _):
        why = f"the run takes longer than {seconds} s" if number == signal.SIGALRM else signal.strsignal(number)
        print(f"FAILED {why}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)
    signal.alarm(seconds)
    # Where Python itself hangs.
    faulthandler.dump_traceback_later(seconds + 30, exit=True)


def passes(function, bench):
    name = function.__name__.replace("_", " ")
    begun = time.monotonic()
    try:
        said = function(bench)
    except Exception as error:  # noqa: BLE001: whatever it is, the check has failed
        print(f"FAILED {name} ({time.monotonic() - begun:.1f} s)", flush=True)
        where = traceback.extract_tb(error.__traceback__)[-1]
        print(f"       {type(error).__name__}: {str(error)[:2000]} [{os.path.basename(where.filename)}:{where.lineno}]", flush=True)
        if os.environ.get("WEIR_TRACE"):
            traceback.print_exc()
        return False
    print(f"ok     {name} ({time.monotonic() - begun:.1f} s){': ' + said if said else ''}", flush=True)
    return True


if __name__ == "__main__":
    main()
