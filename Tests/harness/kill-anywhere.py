"""Kills `steer` before and after its system calls (SIGKILL, by ptrace), and checks the state afterwards.

While `apply` and `upgrade` are killed, connections and datagrams to a label that all policies have must never
fail. Some of them replace the program by one with larger tables (grow: a policy that exceeds the smallest ones)
or by one with smaller tables (shrink: an upgrade once a small policy is in force). After each kill, the next reader
must find either the whole old or the whole new policy, and the registered sockets; the next writer, whichever it
is, must succeed, and leave nothing else in the BPF file system, and one program in the kernel.
Then `load` and `unload` are killed: the next `load`, or `unload`, must work.

    scripts/harness kill-anywhere --steer .build/release/steer [--kills 1000] [--seed N] [--lanes 4]

Each stop after the first access to the BPF file system is tried once before any is tried twice; one kill in
twenty comes before that access. Prints one line of JSON; exits 1 if any check failed.
"""
import argparse
import json
import os
import random
import time

from support import PATIENCE, Failed, bindings, policy, run_in_lanes
from tracing import count_stops, kill_at
from traffic import Traffic

PROBLEMS_ENOUGH = 10


class Harness:
    def __init__(self, lab, options, problems):
        self.lab, self.random = lab, random.Random()
        self.problems, self.kills, self.effects, self.stops = problems, {}, {}, {}
        policies = [policy(0), policy(1)]
        self.scenarios = ["apply", "upgrade"]
        if options.large:
            policies.append(policy(2, options.large, spread=True))
            self.scenarios += ["grow", "shrink"]
        self.files = [lab.file(f"policy-{variant}.json", policy) for variant, policy in enumerate(policies)]
        self.states, self.sizes = [], []
        self.current, self.identity = None, None
        self.lane, self.lanes, self.seed = options.lane, options.lanes, options.seed

    # MARK: - What kills are tried

    def plan(self, scenarios, count):
        """Returns (scenario, stop) pairs: all relevant ones in random order, repeated until there are enough."""
        self.random.seed(self.lane + self.lanes * self.seed)
        for scenario in scenarios:
            self.kills[scenario], self.effects[scenario] = 0, 0
            self.prepare(scenario)
            self.stops[scenario] = list(count_stops(self.command(scenario)))
            self.resume(scenario)
        chosen = []
        while len(chosen) < count:
            turn = [(scenario, stop) for scenario in scenarios
                    for stop in range(self.stops[scenario][0], self.stops[scenario][1] + 1)
                    if stop % self.lanes == self.lane]  # Each lane has its own.
            turn += [(scenario, self.random.randrange(1, self.stops[scenario][0]))
                     for scenario in self.random.choices(scenarios, k=len(turn) // 20)]
            self.random.shuffle(turn)
            chosen += turn
        return chosen[:count]

    def execute(self, plan, look):
        for scenario, stop in plan:
            self.prepare(scenario)
            self.identity = self.directory()
            if not kill_at(self.command(scenario), stop):
                self.resume(scenario)
                continue  # It had come to its end: stops vary a little.
            self.kills[scenario] += 1
            try:
                look(scenario)
            except Failed as failure:
                self.problems.append(f"{scenario} killed at stop {stop}: {failure}")
                if len(self.problems) >= PROBLEMS_ENOUGH:
                    return
                self.repair(scenario)

    # MARK: - apply and upgrade

    def command(self, scenario):
        if scenario in ("apply", "grow"):
            return self.lab.arguments("apply", self.files[self.target(scenario)])
        return self.lab.arguments("upgrade" if scenario == "shrink" else scenario)

    def target(self, scenario):
        return {"apply": 1 - self.current if self.current < 2 else 0, "grow": 2}.get(scenario, self.current)

    def memory(self):
        """Returns the size of the loaded program's tables."""
        return json.loads(self.lab.steer("status", "--tables", "--json"))["memory"]

    def found(self):
        """Returns the index of the policy that a reader finds."""
        readers = [self.lab.begin("bindings", "--json"), self.lab.begin("sockets", "--json")]
        policy, sockets = (self.lab.end(reader) for reader in readers)
        if sockets != self.sockets:
            raise Failed(f"the registered sockets differ: {sockets.strip()}")
        if bindings(policy) not in self.states:
            raise Failed(f"{len(bindings(policy))} bindings, which match no policy that was applied")
        return self.states.index(bindings(policy))

    def prepare(self, scenario):
        """Sets up a state in which the command has something to do."""
        if scenario in ("grow", "shrink"):
            is_large = self.memory() > self.sizes[0]
            if scenario == "shrink" and not is_large:
                self.lab.steer("apply", self.files[2])
            if self.current == 2 or scenario == "shrink":
                self.current = 0
                self.lab.steer("apply", self.files[0])
            if scenario == "grow" and is_large:
                self.lab.steer("upgrade")
        if scenario == "load" and self.lab.listing() != ["steering"]:
            self.lab.steer("unload")
        if scenario == "unload" and self.lab.listing() != self.tidy:
            self.lab.steer("load")

    def resume(self, scenario):
        if scenario in self.scenarios:
            self.current = self.target(scenario)

    def look(self, scenario):
        found = self.found()
        if found not in (self.current, self.target(scenario)):
            raise Failed("neither the old policy nor the new one")
        self.effects[scenario] += found != self.current
        self.current = found
        writer = self.random.choice(["same", "other", "bind", "upgrade"])
        self.write(writer)
        if scenario in ("upgrade", "shrink") and writer != "upgrade":
            self.effects[scenario] += self.directory() != self.identity

    def directory(self):
        """Identifies the directory with the state, which an upgrade replaces."""
        folder = f"{self.lab.bpffs}/steering"
        names = [name for name in os.listdir(folder) if name.isdigit()] if os.path.exists(folder) else []
        return [os.stat(f"{folder}/{name}").st_ino for name in names]

    def write(self, writer):
        """Runs the next writer, which must leave a tidy state."""
        if writer == "upgrade":
            self.lab.steer("upgrade")
            if self.memory() != self.sizes[self.current]:
                raise Failed(f"an upgrade left {self.memory()} bytes of tables, where {self.sizes[self.current]} suffice")
        elif writer == "bind":
            self.lab.steer("bind", "steady", "tcp", "192.0.2.0/25", "80")
        else:
            if writer == "other":
                self.current = self.random.choice([0, 1, self.current])
            self.lab.steer("apply", self.files[self.current])
        self.verify_tidy(f"the next writer ({writer})")
        if writer == "bind":
            self.lab.steer("unbind", "steady", "tcp", "192.0.2.0/25", "80")

    def verify_tidy(self, who):
        if self.lab.listing() != self.tidy:
            raise Failed(f"{who} left a wrong set of files: {sorted(set(self.lab.listing()) ^ set(self.tidy))}")
        # The kernel frees programs a moment after their last user.
        deadline = time.monotonic() + PATIENCE
        while len(programs := self.lab.programs()) != 1:
            if time.monotonic() > deadline:
                raise Failed(f"{who} left {len(programs)} programs in the kernel")
            time.sleep(0.05)

    def repair(self, scenario):
        """Restores the state as far as possible after a problem, so that it does not affect the next kill."""
        if scenario in self.scenarios:
            self.lab.steer("upgrade")
            self.current = 0
            self.lab.steer("apply", self.files[1])
            self.lab.steer("apply", self.files[0])

    # MARK: - load and unload

    def look_at_loading(self, scenario):
        """Checks that steering is loaded completely or not at all, and that the next of the two commands works."""
        loaded = self.succeeds("bindings", "--json")
        self.effects[scenario] += loaded == (scenario == "load")
        if self.random.random() < 0.5:
            if self.succeeds("load") == loaded:
                raise Failed(f"bindings reported {'loaded' if loaded else 'not loaded'}, and load the opposite")
            if self.lab.listing() != self.tidy:
                raise Failed(f"loading left a wrong set of files: {sorted(set(self.lab.listing()) ^ set(self.tidy))}")
        elif self.succeeds("unload") != loaded and loaded:
            raise Failed("unload failed")
        elif self.lab.listing() != ["steering"]:
            raise Failed(f"unloading left {self.lab.listing()}")
        if self.lab.listing() == self.tidy:
            self.lab.steer("bind", "a", "tcp", "10.0.0.0/8", "80")
            self.lab.steer("unload")
        self.lab.steer("load")

    def succeeds(self, *words):
        """Returns False if the command reports that steering is loaded, or is not; raises Failed for other errors."""
        try:
            self.lab.steer(*words)
            return True
        except Failed as failure:
            if any(text in str(failure) for text in ("no steering is loaded", "steering is already loaded")):
                return False
            raise

    def run(self, kills):
        self.lab.steer("load")
        self.lab.steer("apply", self.files[0])  # Before sockets: the label has to be there for none of it.
        traffic = Traffic(pause=0.002 * self.lanes)
        traffic.serve(self.lab)
        for file in self.files:
            self.lab.steer("apply", file)
            self.states.append(bindings(self.lab.steer("bindings", "--json")))
            self.lab.steer("upgrade")
            self.sizes.append(self.memory())
        if len(self.files) > 2 and self.sizes[2] <= self.sizes[0]:
            raise Failed("the large policy fits into the smallest tables: give --large more hosts")
        self.current = len(self.files) - 1
        self.tidy = self.lab.listing()
        self.sockets = self.lab.steer("sockets", "--json")
        traffic.start()
        loading = kills * 2 // 7
        self.execute(self.plan(self.scenarios, kills - loading), self.look)
        counted, failures = traffic.stop()
        if counted["failed"]:
            self.problems.append(f"{counted['failed']} connections or datagrams failed: {failures}")
        self.lab.steer("unload")
        if self.lab.listing() != ["steering"]:
            self.problems.append(f"unloading left {self.lab.listing()}")
        if not self.problems:
            self.execute(self.plan(["load", "unload"], loading), self.look_at_loading)
        return {"kills": sum(self.kills.values()), "by": self.kills, "tookEffect": self.effects,
                "stops": {verb: last - first + 1 for verb, (first, last) in self.stops.items()},
                "tables": [min(self.sizes), max(self.sizes)], **counted}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steer", required=True)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--large", type=int, default=600, help="hosts in the policy that needs larger tables; 0: none")
    run_in_lanes(
        lambda lab, options, problems: Harness(lab, options, problems).run(-(-options.kills // options.lanes)), parser,
        lanes=4)


main()
