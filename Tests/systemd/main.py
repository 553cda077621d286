"""Boots a machine from a tree, and runs suites in it. See scripts/systemd."""
import argparse
import signal
import sys
import time

import suites
from machine import Failed, Machine, REPOSITORY


def main():
    known = {suite.__name__: suite for suite in suites.ALL}
    options = argparse.ArgumentParser(description=__doc__)
    # What another build does, or other units do: a check that nothing can fail shows nothing.
    options.add_argument("--programs", default=f"{REPOSITORY}/.build/release", help="the directory of the programs")
    options.add_argument("--units", default=f"{REPOSITORY}/docs/systemd", help="the directory of the units")
    options.add_argument("tree")
    options.add_argument("suites", nargs="*", metavar="suite", help=f"{', '.join(known)}; by default all")
    chosen = options.parse_args()
    if unknown := set(chosen.suites) - set(known):
        options.error(f"there is no suite {', '.join(unknown)}")
    return run(Machine(chosen.tree, chosen.programs, chosen.units), [known[name] for name in chosen.suites] or suites.ALL)


def run(machine, chosen):
    failed = 0
    begun = time.monotonic()
    with machine:
        machine.boot()
        print(f"# systemd {machine.version}, booted in {time.monotonic() - begun:.1f} s", flush=True)
        for number, suite in enumerate(chosen, 1):
            start = time.monotonic()
            try:
                suite(machine)
                problem = None
            except (Failed, OSError, ValueError) as error:
                problem = error
                failed += 1
            print(f"{'not ok' if problem else 'ok'} {number} - {suite.__name__}: {suite.__doc__} "
                  f"({time.monotonic() - start:.1f} s)", flush=True)
            if problem:
                print("\n".join(f"#   {line}" for line in f"{type(problem).__name__}: {problem}".splitlines()), flush=True)
    print(f"1..{len(chosen)}\n# {len(chosen) - failed} of {len(chosen)} ok, {time.monotonic() - begun:.0f} s", flush=True)
    return 1 if failed else 0


# What was mounted and made is taken away, too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
sys.exit(main())
