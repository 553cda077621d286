"""Injects a failure (with strace) into one system call of `steer` in each run, and checks the state afterwards.

Each call of certain kinds fails once with each of several errors. In every case, `status` works afterwards. If the
command failed, policy and registered sockets are exactly those from before; if it succeeded, those that it was to set
(a command that failed after that reports it). The next command succeeds, and leaves no files in the BPF file system
that do not belong there. While `apply`, `upgrade` and `register` fail, connections and datagrams to a label that all
policies have must never fail.

    scripts/harness faults --steer .build/release/steer [--steerd .build/release/steerd] [--share N/M] [--unit]

--steerd also tests the start of steerd. --share runs the N-th of M equal parts of all cases; --unit gives the commands
no more capabilities than their units in docs/systemd do. Prints one line of JSON; exits 1 if any check failed.
"""
import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import time

from support import PATIENCE, UDP_PORT, Failed, bindings, fork, policy, run_in_lanes
from traffic import Traffic

CALLS = ["bpf", "openat", "rename", "renameat", "renameat2", "mmap", "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir",
         "fcntl", "chmod", "fchmodat", "chown", "fstatfs"]
ERRORS = ["ENOMEM", "EMFILE", "EINTR", "EPERM"]
PROBLEMS_ENOUGH = 20
UNIT = "-all,+bpf,+net_admin,+perfmon,+chown"
LATE = ("in force, but", "is unloaded, but")


class Server:
    """A TCP listener and a UDP socket for both families, served by a process."""

    def __init__(self, port):
        self.tcp = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096)
        self.udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        for level, option in [(socket.SOL_SOCKET, socket.SO_REUSEADDR), (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
                              (socket.IPPROTO_IPV6, 78)]:  # FREEBIND: replies from addresses that are only routed here.
            self.udp.setsockopt(level, option, 1)
        self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.udp.bind(("::", UDP_PORT))
        for serve in (self.serve_tcp, self.serve_udp):
            fork.Process(target=serve, daemon=True).start()

    def serve_tcp(self):
        while True:
            connection, _ = self.tcp.accept()
            try:
                connection.sendall(b"hey")
            except OSError:
                pass
            connection.close()

    def serve_udp(self):
        while True:
            data, ancillary, _, client = self.udp.recvmsg(64, 256)
            # The reply leaves from where the datagram went, by whichever interface.
            address = next(content for _, what, content in ancillary if what == socket.IPV6_PKTINFO)[:16]
            try:
                self.udp.sendmsg([data], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, address + bytes(4))], 0, client)
            except OSError:
                pass

    def pass_on(self):
        """Passes the sockets as descriptors 3 and 4, as a service manager does. Called in the child."""
        for number, one in ((3, self.tcp), (4, self.udp)):
            os.dup2(one.fileno(), number)


def reap_tracers():
    """Reaps tracers: with strace -D they become children of the namespace's first process, which is this one."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


class Scenario:
    """A command, the state that it runs in, and the two states allowed afterwards."""

    def __init__(self, name, command, before, after, prepare=None, server=None, also=()):
        self.name, self.command, self.before, self.after = name, command, before, after
        self.prepare, self.server = prepare or (lambda: None), server
        self.also = also  # States that a command of several steps may leave when it fails.


class Harness:
    def __init__(self, lab, options, problems):
        self.lab, self.options, self.problems = lab, options, problems
        self.all, self.tried, self.failed, self.late = {}, {}, {}, 0
        self.traffic, self.servers = Traffic(pause=0.01), []
        self.prefix = ["setpriv", "--no-new-privs", "--bounding-set", UNIT, "--inh-caps", UNIT] if options.unit else []
        self.files = [lab.file(f"policy-{number}.json", one) for number, one in enumerate(
            [policy(0), policy(1), policy(2, options.large, spread=True)])]
        self.log = f"{lab.folder}/calls"

    # MARK: - Commands

    def run(self, words, injected=None, server=None):
        """Runs a command, optionally with one failing call; returns exit code, output and error output."""
        if not injected:
            return self.execute([], words, server)
        reap_tracers()
        call, number, error = injected
        return self.execute(["strace", "-D", "-f", "-qqq", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={call}",
                             "-e", f"inject={call}:error={error}:when={number}"], words, server)

    def execute(self, tracer, words, server=None):
        if words[0] == "steerd":
            return self.start_steerd(tracer, words[1])
        arguments = [*self.prefix, *tracer, *self.lab.arguments(*words)]
        inherited = {}
        if server:
            # The number of a process is known to itself alone; strace -D leaves it as it is.
            arguments = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *arguments]
            inherited = {"preexec_fn": server.pass_on, "close_fds": False,
                         "env": {**os.environ, "LISTEN_FDS": "2"}}
        running = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **inherited)
        try:
            output, complaint = running.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            raise Failed(f"{' '.join(words)} does not end") from None
        return running.returncode, output, complaint

    def start_steerd(self, tracer, file):
        """Starts steerd, and kills it once it serves. Returns its exit code, or 0 if it came to serve."""
        path = f"{self.lab.folder}/steerd.sock"
        if os.path.exists(path):
            os.unlink(path)
        running = subprocess.Popen(
            [*self.prefix, *tracer, os.path.abspath(self.options.steerd), "--policy", file, "--bpffs", self.lab.bpffs,
             "--socket", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + PATIENCE
        while running.poll() is None:
            if time.monotonic() > deadline:
                running.kill()
                raise Failed("steerd neither serves nor ends")
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                if client.connect_ex(path) == 0 and self.answers(client):
                    running.kill()
                    running.communicate(timeout=60)
                    return 0, "", ""
            time.sleep(0.01)
        output, complaint = running.communicate()
        return running.returncode, output, complaint

    @staticmethod
    def answers(client):
        """Returns whether steerd answers, which it does once it has started."""
        client.settimeout(20)
        try:
            client.send(b"steering/1 status")
            return bool(client.recv(4096))
        except OSError:
            return False

    def steer(self, *words, server=None):
        code, output, complaint = self.run(words, server=server)
        if code != 0:
            raise Failed(f"{' '.join(words)} exited with {code}: {complaint.strip()}")
        return output

    def calls(self, scenario):
        """Returns the cases: each call that the command makes once it has started."""
        scenario.prepare()
        # Missing names are no error: not every machine has all of these calls.
        traced = ",".join("?" + call for call in CALLS)
        code, _, complaint = self.execute(
            ["strace", "-D", "-f", "-qqq", "-o", self.log, "-e", f"trace={traced}"], scenario.command, scenario.server)
        if code != 0:
            raise Failed(f"{scenario.name} fails without an injected error: {complaint.strip()}")
        time.sleep(0.2)  # strace writes a moment longer than the command runs.
        counts, found, begun = {}, [], False
        with open(self.log) as log:
            for line in log:
                match = re.match(r"\d+ +(\w+)\(", line)
                if not match or "resumed" in line:
                    continue
                call = match.group(1)
                counts[call] = counts.get(call, 0) + 1
                begun = begun or call == "openat" and ".so" not in line
                if begun:
                    found += [(call, counts[call], error) for error in ERRORS]
        return found

    # MARK: - What is found

    def state(self):
        """Returns the policy in force and the registered sockets, or None if nothing is loaded."""
        readers = [self.lab.begin(verb, "--json") for verb in ("status", "bindings")]
        texts = []
        for reader in readers:
            output, complaint = reader.communicate(timeout=60)
            if reader.returncode != 0:
                texts.append("not loaded" if "no steering is loaded" in complaint else complaint.strip())
            else:
                texts.append(output)
        if texts == ["not loaded"] * 2:
            return None
        if all("was written by an older version" in text for text in texts):
            return "older"
        try:
            sockets = [one for label in json.loads(texts[0])["labels"] for one in label["sockets"]]
            return bindings(texts[1]), frozenset(
                (one["label"], one["cookie"], one["protocol"], one["family"], one["standIn"]) for one in sockets)
        except (ValueError, KeyError):
            raise Failed(f"the state cannot be read: {[text for text in texts if not text.startswith('{')]}") from None

    def look(self, scenario, code, complaint):
        found = self.state()
        if found not in (scenario.before, scenario.after, *scenario.also):
            raise Failed(f"neither the old state nor the new one: {self.difference(found, scenario)}")
        if code in (0, 1):
            if code == 1 and not (complaint.startswith(("steer: ", "steerd: ")) and complaint.count("\n") == 1):
                raise Failed(f"not an error message: {complaint!r}")
            is_late = any(words in complaint for words in LATE)
            self.late += is_late
            told = [scenario.after] if code == 0 or is_late else [scenario.before, *scenario.also]
            if found not in told:
                raise Failed(f"it exited with {code} ({complaint.strip()}), and the state does not agree with that")
        else:
            raise Failed(f"it ended with {code}: {complaint.strip()[:300]}")
        return found

    @staticmethod
    def difference(found, scenario):
        if not isinstance(found, tuple) or not isinstance(scenario.after, tuple):
            return found if isinstance(found, str) else f"loaded: {found is not None}"
        return f"{len(found[0])} bindings, and sockets that differ: {sorted(found[1] ^ scenario.after[1])[:4]}"

    def once(self, scenario, call, number, error):
        scenario.prepare()
        code, _, complaint = self.run(scenario.command, (call, number, error), scenario.server)
        self.tried[scenario.name] = self.tried.get(scenario.name, 0) + 1
        self.failed[scenario.name] = self.failed.get(scenario.name, 0) + (code != 0)
        found = self.look(scenario, code, complaint)
        tidy = ["steering"] if scenario.after is None else self.tidy
        if code == 0 and self.lab.listing() == tidy:
            return
        # The next command: the same again, unless there is nothing left for it to do.
        if found != scenario.after or scenario.name not in ("load", "unload"):
            self.steer(*scenario.command, server=scenario.server)
        if found != scenario.after and self.state() != scenario.after:
            raise Failed("the next command did not produce the new state")
        if self.lab.listing() != tidy:
            raise Failed(f"left over: {sorted(set(self.lab.listing()) ^ set(tidy))}")

    # MARK: - Scenarios

    def scenarios_with_traffic(self):
        one, other = self.servers
        policies = [self.policies[number] for number in range(3)]
        first, second = self.registered[one], self.registered[other]
        both = first | self.registered["extra"]

        def applied(number, small=False):
            def prepare():
                if small:
                    self.steer("apply", self.files[number])
                    self.steer("upgrade")
                else:
                    self.steer("apply", self.files[number])
            return prepare

        def older():
            state = self.lab.state()
            [name] = [name for name in os.listdir(state) if name.startswith("layout-")]
            os.rename(f"{state}/{name}", f"{state}/layout-2")

        def alone():
            if self.state()[1] != first:
                self.steer("unregister", "extra")

        def registered():
            self.steer("register", "steady", "--replace", server=one)

        yield Scenario("apply", ["apply", self.files[1]], (policies[0], first), (policies[1], first), applied(0))
        yield Scenario("grow", ["apply", self.files[2]], (policies[0], first), (policies[2], first), applied(0, True))
        self.steer("apply", self.files[0])
        yield Scenario("upgrade", ["upgrade"], (policies[0], first), (policies[0], first))
        yield Scenario("register", ["register", "extra"], (policies[0], first), (policies[0], both), alone, server=other)
        self.steer("unregister", "extra")
        yield Scenario("replace", ["register", "steady", "--replace"], (policies[0], first), (policies[0], second),
                       registered, server=other)
        registered()
        if self.options.steerd:
            yield Scenario("steerd", ["steerd", self.files[1]], (policies[0], first), (policies[1], first), applied(0))
            self.steer("apply", self.files[0])
        yield Scenario("older", ["upgrade"], "older", (policies[0], first), older)

    def scenarios_without(self):
        def unloaded():
            if self.lab.listing() != ["steering"]:
                self.steer("unload")

        def loaded():
            if self.lab.listing() != self.tidy:
                self.steer("load")

        empty = (frozenset(), frozenset())
        yield Scenario("load", ["load"], None, empty, unloaded)
        loaded()
        yield Scenario("unload", ["unload"], empty, None, loaded)
        if self.options.steerd:
            yield Scenario("steerd-load", ["steerd", self.files[0]], None, (self.policies[0], frozenset()), unloaded,
                           also=[empty])

    def work(self, scenarios):
        part, parts = map(int, self.options.share.split("/"))
        for scenario in scenarios:
            calls = self.calls(scenario)
            self.all[scenario.name] = len(calls) if self.options.lane == 0 else 0
            random.Random(scenario.name).shuffle(calls)  # A share has some of every call and error.
            # Each lane has its own.
            own = calls[part - 1::parts][self.options.lane::self.options.lanes]
            for done, (call, number, error) in enumerate(own):
                if len(self.problems) >= PROBLEMS_ENOUGH:
                    return
                if done % 50 == 0:
                    print(f"lane {self.options.lane}: {scenario.name}, {done} of {len(own)}, "
                          f"{len(self.problems)} problems so far", file=sys.stderr, flush=True)
                lost = sum(self.traffic.failures)
                try:
                    self.once(scenario, call, number, error)
                    if sum(self.traffic.failures) > lost:
                        raise Failed(f"traffic was lost: {[words.value.decode() for words in self.traffic.words]}")
                except Failed as failure:
                    self.problems.append(f"{scenario.name}, {call} {number} {error}: {failure}")
                    self.repair()

    def repair(self):
        """Starts anew after a problem, so that it does not affect the next case."""
        self.run(["unload"])
        self.start()

    def start(self):
        self.steer("load")
        if self.servers:
            self.steer("apply", self.files[0])
            self.steer("register", "steady", server=self.servers[0])

    def run_all(self):
        self.servers = []
        self.start()
        self.tidy = self.lab.listing()
        for _ in range(8):
            os.dup(0)  # So that descriptors 3 and 4 are nobody's.
        self.servers = [Server(8080), Server(8081)]
        self.policies, self.registered = [], {}
        for number, file in enumerate(self.files):
            self.steer("apply", file)
            self.policies.append(self.state()[0])
        self.steer("apply", self.files[0])
        for server in reversed(self.servers):
            self.steer("register", "steady", "--replace", server=server)
            self.registered[server] = self.state()[1]
        self.steer("register", "extra", server=self.servers[1])
        self.registered["extra"] = self.state()[1] - self.registered[self.servers[0]]
        self.steer("unregister", "extra")

        self.traffic.start()
        self.work(self.scenarios_with_traffic())
        counted, words = self.traffic.stop()
        self.steer("unload")
        self.servers = []
        self.work(self.scenarios_without())
        return {"all": self.all, "tried": self.tried, "failed": self.failed, "toldAfterwards": self.late,
                "tcpConnections": counted["tcpConnections"], "udpExchanges": counted["udpExchanges"],
                "trafficLost": counted["failed"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steer", required=True)
    parser.add_argument("--steerd")
    parser.add_argument("--share", default="1/1", help="N/M: the N-th of M parts of all cases")
    parser.add_argument("--large", type=int, default=600, help="hosts in the policy that needs larger tables")
    parser.add_argument("--unit", action="store_true", help="run with only the capabilities of the service's unit")
    run_in_lanes(lambda lab, options, problems: Harness(lab, options, problems).run_all(), parser, lanes=2)


main()
