"""Four processes change the bindings at once, under traffic, while others read: no change is lost, no
command fails, and a stopped reader blocks no one.

First, each writer binds and unbinds bindings of its own: at the end, exactly the expected bindings exist, and readers
saw only states that each writer had made, never an earlier one after a later one. Then each writer applies files
repeatedly: a reader always finds one whole file. Then readers are stopped at their system calls, by ptrace, while a
writer works.

    scripts/harness many-writers --steer .build/release/steer [--changes 50] [--held 60]

Prints one line of JSON; exits 1 if any check failed.
"""
import argparse
import random
import time

from support import Failed, bindings, fork, policy, run_in_lab
from tracing import Ended, Traced, count_stops
from traffic import Traffic

WRITERS = range(4)


def steps(writer, changes):
    """Returns a writer's steps, and the numbers that it has bound after each."""
    bound, history, plan = set(), [frozenset()], []
    order = random.Random(writer)
    for number in range(changes):
        if bound and order.random() < 0.4:
            gone = order.choice(sorted(bound))
            bound.remove(gone)
            plan.append(("unbind", gone))
        else:
            bound.add(number)
            plan.append(("bind", number))
        history.append(frozenset(bound))
    return plan, history


def prefix(writer, number):
    return f"10.{writer}.0.{number}/32"


def change(lab, writer, changes, complaints):
    for verb, number in steps(writer, changes)[0]:
        try:
            lab.steer(verb, f"writer-{writer}", "tcp", prefix(writer, number), 80)
        except Failed as failure:
            complaints.put(f"writer {writer}: {failure}")


def apply(lab, file, changes, complaints):
    for _ in range(changes):
        try:
            lab.steer("apply", file)
        except Failed as failure:
            complaints.put(f"apply: {failure}")


def read_on(lab, check, stopping, reads, complaints):
    while not stopping.value:
        try:
            check(bindings(lab.steer("bindings", "--json")))
        except Failed as failure:
            complaints.put(f"a reader: {failure}")
        reads.value += 1


def bound_by(writer, found):
    """Returns the numbers of a writer's bindings among those found."""
    label = ("label", f"writer-{writer}")
    prefixes = [dict(binding)["prefix"] for binding in found if label in binding]
    return frozenset(int(text.split("/")[0].split(".")[-1]) for text in prefixes)


class Histories:
    """Checks that each writer's bindings are a state that it made, and no earlier than the one last seen."""

    def __init__(self, changes):
        self.histories = [steps(writer, changes)[1] for writer in WRITERS]
        self.reached = [0 for _ in WRITERS]

    def __call__(self, found):
        for writer in WRITERS:
            seen = bound_by(writer, found)
            try:
                self.reached[writer] = self.histories[writer].index(seen, self.reached[writer])
            except ValueError:
                raise Failed(f"writer {writer} never had {sorted(seen)} after its step {self.reached[writer]}") from None


def together(lab, writers, check, complaints):
    """Runs writers and a reader in parallel; returns the number of reads."""
    stopping, reads = fork.RawValue("b", 0), fork.RawValue("Q", 0)
    reader = fork.Process(target=read_on, args=(lab, check, stopping, reads, complaints), daemon=True)
    everyone = [fork.Process(target=target, args=arguments, daemon=True) for target, *arguments in writers]
    for process in [reader, *everyone]:
        process.start()
    for process in everyone:
        process.join()
    stopping.value = 1
    reader.join()
    return reads.value


def hold_readers(lab, count, states, complaints):
    """Stops readers at their system calls while a writer works; returns the longest time that a write took."""
    command = lab.arguments("bindings", "--json")
    first, last = count_stops(command)
    slowest = 0.0
    extra = ("held", "tcp", "10.9.0.0/16", 80)
    output = f"{lab.folder}/held.json"
    for number in range(count):
        stop = first + number * (last - first) // max(1, count - 1)
        reader = Traced(command, output)
        try:
            reader.advance_to(stop)
        except Ended:
            continue
        begun = time.monotonic()
        try:
            lab.steer("bind" if number % 2 == 0 else "unbind", *extra)
            if number % 5 == 0:
                lab.steer("upgrade")
        except Failed as failure:
            complaints.put(f"with a reader held at stop {stop}: {failure}")
        slowest = max(slowest, time.monotonic() - begun)
        code = reader.let_go()
        text = open(output).read()
        if code != 0 or bindings(text) not in states(extra):
            complaints.put(f"the reader that was held at stop {stop} exited with {code}: {text[:200]}")
    return slowest


def run(lab, options, problems):
    complaints = fork.SimpleQueue()
    base = lab.file("base.json", policy(9))
    lab.steer("load")
    lab.steer("apply", base)
    traffic = Traffic(pause=0.002)
    traffic.serve(lab)
    traffic.start()

    before = bindings(lab.steer("bindings", "--json"))
    check = Histories(options.changes)
    reads = together(lab, [(change, lab, writer, options.changes, complaints) for writer in WRITERS], check, complaints)
    found = bindings(lab.steer("bindings", "--json"))
    for writer in WRITERS:
        expected = check.histories[writer][-1]
        if bound_by(writer, found) != expected:
            problems.append(f"writer {writer} has {sorted(bound_by(writer, found))}, not {sorted(expected)}")
    if not before <= found or len(found) != len(before) + sum(len(history[-1]) for history in check.histories):
        problems.append("some bindings are unexpected or missing")

    files = [lab.file(f"policy-{writer}.json", policy(writer, 30 + 10 * writer)) for writer in WRITERS]
    states = []
    for file in files:
        lab.steer("apply", file)
        states.append(bindings(lab.steer("bindings", "--json")))

    def one_of_them(found):
        if found not in states:
            raise Failed(f"{len(found)} bindings, which match no file")

    reads += together(lab, [(apply, lab, file, options.changes, complaints) for file in files], one_of_them, complaints)
    one_of_them(bindings(lab.steer("bindings", "--json")))

    lab.steer("apply", base)
    with_extra = before | {tuple(sorted({"label": "held", "protocols": "tcp", "prefix": "10.9.0.0/16", "ports": "80"}.items()))}
    slowest = hold_readers(lab, options.held, lambda extra: (before, with_extra), complaints)
    counted, failures = traffic.stop()
    if counted["failed"]:
        problems.append(f"{counted['failed']} failed: {failures}")
    while not complaints.empty():
        problems.append(complaints.get())
    lab.steer("unload")
    return {"writers": len(WRITERS), "changes": 2 * options.changes * len(WRITERS), "reads": reads,
            "readersHeld": options.held, "slowestWriterThenSeconds": round(slowest, 3), **counted}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steer", required=True)
    parser.add_argument("--changes", type=int, default=50, help="changes per writer, in each part")
    parser.add_argument("--held", type=int, default=60, help="the number of stopped readers")
    options = parser.parse_args()
    run_in_lab(run, options)


main()
