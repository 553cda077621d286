#!/usr/bin/env python3
"""Runs the experiments and writes what they found: scripts/evaluate builds what this needs, and isolates it.

Each experiment is a module: `run(context)` gives what was measured, as JSON has it; `section(result, output)` writes its
part of the report and draws. So that a report can be made again from the figures: --report.
"""
import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time

import beyond
import figures
import lab
import load_per_address
import penalty
import scale
import separately
import surroundings
import timetable

EXPERIMENTS = {"e1": load_per_address, "e2": timetable, "e3": surroundings, "e4": scale, "e5": penalty, "e6": separately,
               "beyond": beyond}


@dataclasses.dataclass
class Size:
    """How much of everything: requests, names, seconds."""
    names: int
    ttl: int
    simulated: int      # E1: requests of a case
    real: int
    rounds: int         # E2
    move_requests: int  # of a round, at least
    move_rate: int
    dwell: float
    spread: int         # E3: connections of a case
    changes: tuple      # what happens to a server
    open: int           # connections meanwhile
    scale_rates: tuple  # E4: paces, the fastest first
    scale_trial: int    # seconds
    scale_seconds: int
    offline: int        # E6: names
    alone: int
    leakless: int       # beyond: seconds
    trials: int
    searches: int


SIZES = {
    "full": Size(names=20_000_000, ttl=5, simulated=1_000_000_000, real=500_000, rounds=10,
                 move_requests=1_050_000, move_rate=24_000, dwell=4, spread=60_000, changes=("leaves", "dies", "joins"), open=600,
                 scale_rates=(37_500, 35_000, 32_500, 30_000, 25_000, 20_000), scale_trial=60, scale_seconds=600,
                 offline=1_000_000, alone=200_000, leakless=86_400, trials=100, searches=3),
    "quick": Size(names=1_000_000, ttl=2, simulated=20_000_000, real=100_000, rounds=1,
                  move_requests=100_000, move_rate=16_000, dwell=1, spread=20_000, changes=("leaves", "dies", "joins"), open=300,
                  scale_rates=(24_000, 16_000, 8_000), scale_trial=5, scale_seconds=15, offline=100_000, alone=50_000, leakless=3_600,
                  trials=20, searches=2),
    # Does all of it run? What scripts/check asks.
    "shortest": Size(names=10_000, ttl=1, simulated=1_000_000, real=4_000, rounds=1, move_requests=4_000,
                     move_rate=2_000, dwell=0.3, spread=2_000, changes=("leaves",), open=50,
                     scale_rates=(4_000, 2_000), scale_trial=1, scale_seconds=3, offline=1_000, alone=5_000, leakless=1_800,
                     trials=3, searches=1),
}


class Visits:
    """Visitors of some regions, and what they tell at their end."""

    def __init__(self, started, histogram, timeline):
        self.started, self.results = started, []
        self.histogram, self.timeline = histogram, timeline

    def requests(self):
        """How many requests there were so far, by their timelines."""
        total = 0
        for _, _, path in self.started:
            with open(path) as file:
                total += sum(json.loads(line)["requests"] for line in file if line.endswith("}\n"))
        return total

    def finish(self, stop):
        for process, _, _ in self.started:
            if stop:
                process.send_signal(signal.SIGTERM)
        for process, histogram, timeline in self.started:
            output, error = process.communicate(timeout=1200)
            if process.returncode != 0:
                raise RuntimeError(f"visitors ended with {process.returncode}: {error}")
            result = json.loads(output)
            result["failures"], result["told"] = sum(result["failed"].values()), error.splitlines()[:5]
            if self.histogram:
                result["histogram"] = figures.histogram(histogram)
            if self.timeline:
                with open(timeline) as file:
                    result["timeline"] = [json.loads(line) for line in file]
            self.results.append(result)


class Context:
    """What experiments share: the edge, the visitors, the simulator."""

    def __init__(self, size, folder, tools):
        self.size, self.folder, self.tools = size, folder, tools
        self.ttl, self._edge, self._stack = size.ttl, None, contextlib.ExitStack()
        self.began = time.monotonic()

    def say(self, text):
        seconds = int(time.monotonic() - self.began)
        lab.say(f"{seconds // 60:3}:{seconds % 60:02}  {text}")

    def policy(self, select="random"):
        return lab.policy(self.ttl, f"{self.folder}/names.txt", select)

    def edge(self):
        """The edge, built when it is first asked for."""
        if self._edge is None:
            self.say(f"building the edge: six servers with {self.size.names:,} names each")
            lab.write_names(f"{self.folder}/names.txt", self.size.names)
            self._edge = self._stack.enter_context(lab.edge(self.folder, self.tools))
            self._edge.begin(self.policy())
        return self._edge

    def answer_from(self, prefix, select="random"):
        """Has all servers answer from an IPv4 prefix, chosen so."""
        self.edge().move(prefix)
        self.edge().reload(self.policy(select))

    def close(self):
        self._stack.close()

    def simulate(self, name, arguments):
        """Runs a simulation, which shows its progress on a terminal."""
        words = [self.tools.simulate, name, *map(str, arguments)]
        return json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)

    def visit(self, arguments, histogram=False, progress=False):
        """Visitors of all regions, until their own end."""
        with self._visiting(arguments, self.places(lab.REGIONS), histogram=histogram) as visits:
            if progress:
                self.show(visits)
        return visits.results

    def visit_from(self, namespace, sources, arguments):
        """Visitors in a namespace beside the edge, until their own end."""
        with self._visiting(arguments, [(namespace, sources)]) as visits:
            pass
        return visits.results[0]

    def visiting(self, arguments, regions=lab.REGIONS, timeline=False):
        """Visitors who come while something else is done."""
        return self._visiting(arguments, self.places(regions), timeline=timeline, stop=True)

    def places(self, regions):
        return [(self.edge().clients[region], lab.SOURCES[region]) for region in regions]

    @contextlib.contextmanager
    def _visiting(self, arguments, places, histogram=False, timeline=False, stop=False):
        started = []
        for namespace, sources in places:
            paths = f"{self.folder}/{namespace.name}.histogram", f"{self.folder}/{namespace.name}.timeline"
            options = ["--timeline", paths[1], *(["--histogram", paths[0]] if histogram else [])]
            started.append((lab.visitors(self.tools, namespace, sources, [*arguments, *options]), *paths))
        visits = Visits(started, histogram, timeline)
        try:
            yield visits
        except BaseException:
            for process, _, _ in started:
                process.kill()
            raise
        visits.finish(stop)

    def show(self, visits):
        """How far a long run is, now and then."""
        while any(process.poll() is None for process, _, _ in visits.started):
            time.sleep(1)
            if sys.stdout.isatty():
                print(f"\r       {visits.requests():,} requests", end="", flush=True)
        if sys.stdout.isatty():
            print("\r\033[K", end="", flush=True)


def environment():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    versions = {}
    for name, command in (("BIRD", "bird --version"), ("nginx", "nginx -v"), ("NSD", "nsd -v")):
        done = subprocess.run(command.split(), capture_output=True, text=True)
        versions[name] = (done.stdout + done.stderr).splitlines()[0].split()[-1].split("/")[-1]
    return {"kernel": platform.release(), "processor": f"{os.cpu_count()} x {model}", "versions": versions}


def report(results, output):
    """docs/evaluation/README.md, from the figures alone."""
    about = results["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    text = (pathlib.Path(__file__).parent / "report.md").read_text().format(
        minutes=f"{sum(of['seconds'] for of in results['experiments'].values()) / 60:.0f}", **about | {"versions": versions})
    for name, module in EXPERIMENTS.items():
        if name in results["experiments"]:
            of = results["experiments"][name]
            text += f"\n## {module.TITLE}\n\n{module.section(of['found'], output)}"
            # The penalty takes no time here: scripts/evaluate has it measured before.
            seconds = f"{of['seconds']:.0f} s, " if of["seconds"] >= 1 else ""
            text += f"\n`{of['command']} --only {name}`, {seconds}{of['date']}\n"
    (output / "README.md").write_text(text)


def check(results):
    """What must hold in every run, whatever its size."""
    found = {name: of["found"] for name, of in results.items()}
    wrong = []
    if "e1" in found:
        wrong += [f"E1: {of['failed']} requests failed ({case})" for case, of in found["e1"]["real"].items() if of["failed"]]
    if "e2" in found:
        for each in found["e2"]["rounds"]:
            if each["failed"] or each["served"] != each["requests"]:
                wrong.append(f"E2: {each['failed']} of {each['requests']} requests failed, and nginx answered {each['served']}")
    if "e3" in found:
        wrong += [f"E3: {of['failed']} requests failed ({case})" for case, of in found["e3"]["spread"].items() if of["failed"]]
    if "e4" in found and "kept" not in found["e4"]:
        wrong.append("E4: no pace was sustained")
    if "beyond" in found:
        search = found["beyond"]["search"]
        wrong += [f"beyond: the search found {trial['found']}" for trial in search["onNames"] + search["onAddress"] if not trial["isRight"]]
    if "e6" in found:
        cases = ((case, found["e6"][case]["failures"]) for case in ("names elsewhere", "bound the old way"))
        wrong += [f"E6: {failures} requests failed ({case})" for case, failures in cases if failures]
    return wrong


def main():
    parser = argparse.ArgumentParser()
    for tool in ("steer", "steer-dns", "visitors", "simulate", "penalty", "tls"):
        parser.add_argument(f"--{tool}")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--only", default=",".join(EXPERIMENTS))
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--command", default="scripts/evaluate")
    parser.add_argument("--report", action="store_true", help="only rewrite the report, from results.json")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    saved = options.output / "results.json"
    if options.report:
        return report(json.loads(saved.read_text()), options.output)
    chosen = options.only.split(",")
    if unknown := [name for name in chosen if name not in EXPERIMENTS]:
        sys.exit(f"evaluate: unknown experiment {unknown[0]}: choose from {', '.join(EXPERIMENTS)}")
    # What was measured earlier stays, beside what is measured now.
    results = {"experiments": {}}
    if len(chosen) < len(EXPERIMENTS) and saved.exists():
        results = json.loads(saved.read_text())
    results["environment"] = environment()
    with tempfile.TemporaryDirectory(prefix="edge-lab-") as folder:
        os.chmod(folder, 0o755)
        context = Context(SIZES[options.size], folder, options)
        with contextlib.closing(context):
            for name in chosen:
                context.say(EXPERIMENTS[name].TITLE)
                began = time.monotonic()
                found = EXPERIMENTS[name].run(context)
                results["experiments"][name] = {"command": options.command, "seconds": time.monotonic() - began,
                                                "date": str(datetime.date.today()), "found": found}
                saved.write_text(json.dumps(results, indent=1) + "\n")
        report(results, options.output)
        context.say(f"written: {options.output}/README.md")
    if wrong := check({name: results["experiments"][name] for name in chosen}):
        sys.exit("evaluate: " + "; ".join(wrong))


if __name__ == "__main__":
    # nginx and visitors have thousands of sockets, and inherit it.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
