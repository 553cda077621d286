# SPDX-License-Identifier: Apache-2.0
"""Name servers in turns, each asked by load.c: scripts/bench dns, which calls this in namespaces of its own.

  run.py --load PROGRAM --bound PROGRAM --steer-dns PROGRAM
         --allocations LIBRARY [--rounds N] [--seconds S] [--names N] [--only WORD...] [--json] [--quick]

What counts is the server's processor time for a query, of all its threads, while as many queries are outstanding as
keep it busy; and the latency at 6,000 queries a second. docs/benchmarks.md says more.
"""
import argparse, collections, contextlib, datetime, json, os, platform, random, socket, statistics
import subprocess, sys, tempfile, time

import servers
from servers import A, AAAA, MIXED

RATE = 6000
TITLES = {A: "A", AAAA: "AAAA", MIXED: "A and AAAA"}
CPU, P99 = "CPU us/query", f"us, p99 at {RATE:,} queries/s"

arguments = argparse.ArgumentParser()
arguments.add_argument("--load", required=True)
arguments.add_argument("--bound", required=True)
arguments.add_argument("--steer-dns", required=True)
arguments.add_argument("--allocations", required=True)
arguments.add_argument("--rounds", type=int, default=15)
arguments.add_argument("--seconds", type=float, default=0.8, help="of a slice")
arguments.add_argument("--names", type=int, default=20_000_000)
arguments.add_argument("--only", nargs="+", metavar="WORD", help="servers named so, in part; and the bound")
arguments.add_argument("--json", action="store_true")
arguments.add_argument("--quick", action="store_true", help="few names, one round: do all answer what they should?")
options = arguments.parse_args()
if options.quick:
    options.rounds, options.seconds, options.names = 1, 0.3, min(options.names, 10_000)

processors = sorted(os.sched_getaffinity(0))
server_processor, load_processor = processors[0], processors[-1]


def fail(message):
    sys.exit(f"bench dns: {message}")


class Running:
    """A server that was started; ends with the block."""

    def __init__(self, server, port, folder, **environment):
        self.server, self.port, self.folder = server, port, folder
        self.log = open(os.path.join(folder, "log"), "w+")
        command = ["taskset", "-c", str(server_processor), *server.configure(folder, port)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=folder,
                                        env=os.environ | environment)

    def wait_until_it_answers(self, seconds=300):
        question = b"\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02n0\x07example\x03com\x00\x00\x01\x00\x01"
        end = time.monotonic() + seconds
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            client.connect((servers.ADDRESS, self.port))
            while time.monotonic() < end and self.process.poll() is None:
                with contextlib.suppress(OSError):
                    client.send(question)
                    if client.recv(1500)[:2] == question[:2]:
                        return
                time.sleep(0.05)
        self.fail("does not answer")

    def fail(self, what):
        self.log.seek(0)
        fail(f"{self.server.name} {what}; its last words:\n{self.log.read()[-2000:]}")

    def tasks(self):
        """All threads of the process and of those that it started."""
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                parents[int(pid)] = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
        family = {self.process.pid}
        while grown := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= grown
        return [(pid, int(task)) for pid in family for task in os.listdir(f"/proc/{pid}/task")]

    def processor_seconds(self):
        """What its threads ran, and what they waited for the processor."""
        times = [open(f"/proc/{pid}/task/{task}/schedstat").read().split() for pid, task in self.tasks()]
        return sum(int(time[0]) for time in times) / 1e9, sum(int(time[1]) for time in times) / 1e9

    def ask(self, traffic, *extra):
        command = ["taskset", "-c", str(load_processor), options.load, "--server", servers.ADDRESS, "--port", str(self.port),
                   "--names", str(options.names), "--types", traffic, "--v4", self.server.v4, "--v6", servers.SIX,
                   *map(str, extra)]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0:
            self.fail(f"was asked in vain: {run.stderr}")
        result = json.loads(run.stdout)
        if result["wrong"]:
            self.fail(f"gave {result['wrong']} wrong answers of {result['answered']}: {run.stderr}")
        return result

    def check(self):
        """That every answer is right, and that the addresses are as many as chance would have them."""
        histogram = os.path.join(self.folder, "histogram")
        result = self.ask(A, "--queries", 4000, "--window", 32, "--histogram", histogram)
        if result["answered"] != 4000:
            self.fail(f"answered {result['answered']} of 4,000 queries")
        met = len(open(histogram).read().splitlines())
        count = self.server.distinct
        expected = count * (1 - (1 - 1 / count) ** 4000)
        if not 0.9 * expected <= met <= count:
            self.fail(f"answered with {met} different addresses, {expected:.0f} of {count} were expected")
        result = self.ask(AAAA, "--queries", 1000, "--window", 32)
        if result["answered"] != 1000:
            self.fail(f"answered {result['answered']} of 1,000 queries for AAAA")

    def saturated(self, traffic):
        """Processor time of a query in us, and how much of the time the server had something to do."""
        before = self.processor_seconds()
        result = self.ask(traffic, "--seconds", options.seconds)
        ran, waited = (after - before for after, before in zip(self.processor_seconds(), before))
        return ran / result["answered"] * 1e6, (ran + waited) / result["seconds"], result["lost"]

    def latency(self, traffic):
        result = self.ask(traffic, "--seconds", options.seconds, "--rate", RATE, "--window", 4000)
        return result["p99"], result["lost"]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def chosen(folder):
    """The servers to compare: with --quick one peer, Knot."""
    all = servers.all_servers(options.bound, options.steer_dns, os.path.join(folder, "names.txt"))
    if options.quick and not options.only:
        return [server for server in all if server.name.startswith(("bound", "steer-dns", "Knot"))]
    words = ["bound", *(options.only or [""])]
    return [server for server in all if any(word.lower() in server.name.lower() for word in words)]


def allocations(server, folder):
    """How often a server allocates for a query, once it has answered some."""
    os.mkdir(folder)
    file = os.path.join(folder, "allocations")
    running = Running(server, 5299, folder, LD_PRELOAD=options.allocations, ALLOCATIONS=file)
    count = lambda: int.from_bytes(open(file, "rb").read(8), sys.byteorder)
    try:
        running.wait_until_it_answers()
        running.ask(MIXED, "--queries", 5_000)
        before = count()
        answered = running.ask(MIXED, "--queries", 50_000)["answered"]
        if before == 0:
            running.fail("did not count its allocations")
        return (count() - before) / answered
    finally:
        running.stop()


def measure(running):
    """By (server, traffic): the samples of all rounds, in their order."""
    cases = [(each, traffic) for each in running for traffic in each.server.traffic]
    samples = {(each.server.name, traffic): {CPU: [], P99: [], "busy": [], "lost": []} for each, traffic in cases}
    for round in range(options.rounds):
        random.shuffle(cases)
        for each, traffic in cases:
            sample = samples[each.server.name, traffic]
            cpu, busy, lost = each.saturated(traffic)
            p99, lost_when_paced = each.latency(traffic)
            for key, value in ((CPU, cpu), (P99, p99), ("busy", busy), ("lost", lost + lost_when_paced)):
                sample[key].append(value)
        print(f"\rround {round + 1} of {options.rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return samples


def figures(samples):
    """As the other measures report: best and median, and the median of the ratios of the same round."""
    result = []
    for unit in (CPU, P99):
        for (name, traffic), sample in samples.items():
            values, bound = sample[unit], samples["bound", traffic][unit]
            figure = {"measure": "dns", "name": name, "traffic": TITLES[traffic], "unit": unit, "best": min(values),
                      "median": statistics.median(values)}
            if name != "bound" and unit == CPU:
                figure |= {"reference": "bound", "bestRatio": min(values) / min(bound),
                           "medianRatio": statistics.median(ours / theirs for ours, theirs in zip(values, bound))}
            result.append(figure)
    return result


def aims(figures):
    """What steer-dns is to reach: a sentence, and whether it is met; of medians."""
    cost = {(figure["name"], figure["traffic"]): figure["medianRatio"] for figure in figures
            if figure["unit"] == CPU and figure["name"] != "bound"}
    ours = {case: ratio for case, ratio in cost.items() if case[0].startswith("steer-dns")}
    if not ours:
        return
    worst = max(ours.values())
    yield f"steer-dns at most 1.10 of the bound: {worst:.3f}", worst <= 1.10
    pools = [ratio for (_, traffic), ratio in ours.items() if traffic != TITLES[MIXED]]
    spread = max(pools) / min(pools) - 1
    yield f"{len(pools)} pools within 3 % of each other, each to the bound: {spread * 100:.1f} %", spread <= 0.03
    mixed = ours.get(("steer-dns /24", TITLES[MIXED]))
    for (name, traffic), ratio in cost.items():
        if mixed and (name, traffic) not in ours and "static" not in name:
            yield f"ahead of {name} by at least 1.2: {ratio / mixed:.3f}", ratio / mixed >= 1.2
    # Of the best slices: in the others a machine that is shared pauses for longer than an answer takes.
    p99 = {(figure["name"], figure["traffic"]): figure for figure in figures if figure["unit"] == P99}
    best, median = (max(p99[case][key] for case in ours) for key in ("best", "median"))
    bound = max(figure["median"] for (name, _), figure in p99.items() if name == "bound")
    yield f"p99 of steer-dns at most 100 us, best slices: {best:,.0f} (by medians {median:,.0f}, the bound's {bound:,.0f})", best <= 100


def command():
    """What to type for such a run."""
    changed = [f"--{name} {getattr(options, name)}" for name in ("rounds", "seconds", "names")
               if getattr(options, name) != arguments.get_default(name)]
    return " ".join(["scripts/bench dns", *(["--quick"] if options.quick else changed), "--json"])


def report(samples, all, allocated):
    busy, idlest = min((statistics.median(sample["busy"]), name) for (name, _), sample in samples.items())
    lost = collections.Counter()
    for (name, _), sample in samples.items():
        lost[name] += sum(sample["lost"])
    lost_by_server = ", ".join(f"{name} {count:,}" for name, count in lost.items() if count) or "none"
    notes = [
        "One processor for the server, one for the load; queries with EDNS for random names of "
        f"{options.names:,}, each answer checked. Rounds: {options.rounds}, slices of {options.seconds:g} s.",
        "CPU: of all threads of the server, with 128 queries outstanding. The least busy one, "
        f"{idlest}, had something to do {busy * 100:.0f} % of the time. Queries lost: {lost_by_server}.",
        *([] if allocated is None else [f"steer-dns allocates {allocated:.5f} times a query."]),
        "The second ratio is the median over all rounds of the ratio within a round.",
    ]
    if not options.quick:
        notes += [f"{sentence}: {'met' if is_met else 'not met'}." for sentence, is_met in aims(all)]
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {
        "measure": "dns", "title": "what a query costs a name server", "command": command(),
        "environment": {
            "kernel": platform.release(), "architecture": platform.machine(), "processor": model,
            "cores": os.cpu_count(), "date": datetime.date.today().isoformat(), "isRealTime": False},
        "figures": all, "notes": notes}


def print_table(report):
    rows = [["", "", "unit", "best", "median", "ratio", "median", "to"]]
    for figure in report["figures"]:
        ratios = [f"{figure[key]:.2f}" if key in figure else "" for key in ("bestRatio", "medianRatio")]
        rows.append([figure["name"], figure["traffic"], figure["unit"],
                     f"{figure['best']:.2f}", f"{figure['median']:.2f}", *ratios, figure.get("reference", "")])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"{report['measure']}: {report['title']}\n")
    for row in rows:
        print("  ".join(text.ljust(width) if column in (0, 1, 2, 7) else text.rjust(width)
                        for column, (text, width) in enumerate(zip(row, widths))).rstrip())
    print("\n" + "\n".join(f"* {note}" for note in report["notes"]))


def main():
    with tempfile.TemporaryDirectory(prefix="bench-dns-") as folder, contextlib.ExitStack() as stack:
        compared = chosen(folder)
        if any(server.name.startswith("steer-dns") for server in compared):
            servers.write_names(os.path.join(folder, "names.txt"), options.names)
        running = []
        for number, server in enumerate(compared):
            own = os.path.join(folder, str(number))
            os.mkdir(own)
            running.append(Running(server, 5300 + number, own))
            stack.callback(running[-1].stop)
            running[-1].wait_until_it_answers()
            running[-1].check()
            print(f"{server.name}: answers as it should", file=sys.stderr)
        ours = next((server for server in compared if server.name.startswith("steer-dns")), None)
        allocated = ours and allocations(ours, os.path.join(folder, "counted"))
        # What looks at files now and then, on another thread, is all there is.
        if allocated and allocated > 0.01:
            fail(f"steer-dns allocated {allocated:.3f} times a query; none is right: find what does (Responder, Wire)")
        samples = measure(running)
    result = report(samples, figures(samples), allocated)
    print(json.dumps(result, sort_keys=True)) if options.json else print_table(result)


main()
