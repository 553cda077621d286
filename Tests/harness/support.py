"""Parts common to the harnesses: a network of their own, the command, policies, and the end of a run."""
import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile

from kernel import programs_using

fork = multiprocessing.get_context("fork")
PREFIXES = {4: "192.0.2.0/24", 6: "2001:db8:7::/48"}
TCP_PORT, UDP_PORT = 80, 5300
# How long, in seconds, what must happen is waited for: nothing depends on it unless a run fails.
PATIENCE = int(os.environ.get("PATIENCE", 90))


def enter_namespaces():
    """Re-executes in new network and mount namespaces, which end with the process."""
    if os.environ.get("STEERING_HARNESS") != "inside":
        os.environ["STEERING_HARNESS"] = "inside"
        os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
                              sys.executable, *sys.argv])
    for command in ("ip link set lo up", f"ip route add local {PREFIXES[4]} dev lo",
                    f"ip -6 route add local {PREFIXES[6]} dev lo"):
        subprocess.run(command.split(), check=True)


class Lab:
    """A BPF file system, and the command with its state in it."""

    def __init__(self, steer):
        self.program = os.path.abspath(steer)
        self.folder = tempfile.mkdtemp(prefix="steering-harness-")
        self.bpffs = f"{self.folder}/bpf"
        os.mkdir(self.bpffs)
        subprocess.run(["mount", "-t", "bpf", "-o", "mode=0700", "bpf", self.bpffs], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.bpffs])
        shutil.rmtree(self.folder)

    def arguments(self, *words):
        return [self.program, words[0], "--bpffs", self.bpffs, *map(str, words[1:])]

    def begin(self, *words):
        return subprocess.Popen(
            self.arguments(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, running, timeout=PATIENCE):
        """Returns a command's output; raises Failed if it did not succeed."""
        try:
            output, complaint = running.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            running.kill()
            raise Failed(f"{' '.join(running.args[1:])} did not end within {timeout} s") from None
        if running.returncode != 0:
            raise Failed(f"{' '.join(running.args[1:])} exited with {running.returncode}: {complaint.strip()}")
        return output

    def steer(self, *words):
        return self.end(self.begin(*words))

    def file(self, name, policy):
        path = f"{self.folder}/{name}"
        with open(path, "w") as file:
            json.dump(policy, file)
        return path

    def listing(self):
        """Lists the files in the BPF file system, without the generation of the bindings."""
        found = []
        for folder, folders, files in os.walk(self.bpffs):
            if folder == self.bpffs:
                folders[:] = [name for name in folders if name == "steering"]
                files = []
            found += [os.path.relpath(os.path.join(folder, name), self.bpffs) for name in folders + files]
        return sorted(path.split("/bindings-")[0] + "/bindings" if "/bindings-" in path else path for path in found)

    def state(self):
        """Returns the directory of the state in force."""
        folder = f"{self.bpffs}/steering"
        [name] = [name for name in os.listdir(folder) if name.isdigit()]
        return f"{folder}/{name}"

    def programs(self):
        """Returns the kernel's programs of this steering: those that steer to its sockets."""
        return programs_using(f"{self.state()}/sockets")


class Failed(Exception):
    pass


def bindings(text):
    """Returns the bindings that `steer bindings --json` printed, in comparable form."""
    return frozenset(tuple(sorted(binding.items())) for binding in json.loads(text)["bindings"])


def steady_bindings():
    return [
        {"label": "steady", "protocols": "tcp", "prefixes": list(PREFIXES.values()), "ports": TCP_PORT},
        {"label": "steady", "protocols": "udp", "prefixes": list(PREFIXES.values()), "ports": UDP_PORT},
    ]


def policy(variant, size=50, spread=False):
    """Returns a policy. Variants share the bindings of the steady label, and nothing else.

    With spread, each host has a port of its own: hosts times ports determines the size of the kernel's tables. 600
    exceed the smallest."""
    label = {"label": f"web-{variant}", "protocols": "tcp"}
    hosts = [f"10.{variant}.{number >> 8}.{number & 255}/32" for number in range(size)]
    if spread:
        return {"bindings": steady_bindings() + [
            {**label, "prefixes": [host], "ports": 2000 + 2 * number} for number, host in enumerate(hosts)]}
    return {"bindings": steady_bindings() + [{**label, "prefixes": hosts, "ports": "80,443"}]}


def run_in_lab(run, options):
    """Runs a harness in a lab of its own, and exits: `run(lab, options, problems)` returns its result."""
    enter_namespaces()
    problems, result = [], {}
    with Lab(options.steer) as lab:
        try:
            result = run(lab, options, problems)
        except Failed as failure:
            problems.append(str(failure))
    for problem in problems:
        print(problem, file=sys.stderr)
    finish(result, problems[:10])


def run_in_lanes(run, parser, lanes):
    """Runs a harness in several lanes in parallel, each as `run_in_lab` does, and exits with the merged results."""
    parser.add_argument("--lanes", type=int, default=lanes, help="number of parallel runs, each in its own namespaces")
    parser.add_argument("--lane", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.lane is None:
        finish(*run_lanes(options.lanes))
    run_in_lab(run, options)


def run_lanes(count):
    """Returns the merged results of several lanes."""
    everyone = [subprocess.Popen([sys.executable, *sys.argv, "--lane", str(lane)], stdout=subprocess.PIPE, text=True)
                for lane in range(count)]
    return merged([lane.communicate()[0] for lane in everyone])


def merged(lanes):
    """Merges the results of all lanes: counts are added."""
    result, problems = {}, []
    for number, text in enumerate(lanes):
        if not text.strip():
            problems.append(f"lane {number} ended without a result")
            continue
        found = json.loads(text)
        problems += found.pop("problems")
        for key, value in found.items():
            if isinstance(value, dict) and key != "stops":
                result[key] = {name: result.get(key, {}).get(name, 0) + count for name, count in value.items()}
            elif key in ("stops", "tables"):
                result[key] = value
            else:
                result[key] = result.get(key, 0) + value
    return result, problems


def finish(result, problems):
    """Prints the line of JSON and exits."""
    print(json.dumps({**result, "problems": problems}))
    sys.exit(1 if problems else 0)
