"""Reloads and restarts real servers while clients connect to steered addresses, and counts the losses.

200 connections to random addresses of a /24 and a /48 during a reload and 200 after it, to each server, in three ways:
steered by pid (`steer register --follow`), under `steerd-run`, and at its own address without steering, which shows the
server's own losses.

    scripts/harness reloads --steer PATH [--only NAME ...] [--ways pid run direct] [--connections 200]

Prints a table in Markdown on standard error, and one line of JSON; exits 1 if a steered reload lost more than the server
loses by itself, or if a server is not reachable afterwards.
"""
import argparse
import collections
import ipaddress
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from reloaded import SERVERS
from support import Failed, PREFIXES, run_in_lab

PAUSE = 0.01  # between connections


def eventually(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: timed out after {seconds} s")
        time.sleep(0.02)


# MARK: - Clients

def ask(server, address, port):
    """Makes one connection, and returns its outcome."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        try:
            client.connect((address, port))
            return "answered" if server.ask(client) else "cut"
        except socket.timeout:
            return "hangs"
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            return "reset" if isinstance(error, (ConnectionResetError, BrokenPipeError)) else str(error)


class Clients:
    """Connections, each on its own thread, so that none waits for another."""

    def __init__(self, server, count, places):
        self.server, self.count, self.places = server, count, places
        self.results, self.slowest, self.threads = collections.Counter(), 0.0, []
        self.lock = threading.Lock()

    def one(self, address, port):
        begin = time.monotonic()
        result = ask(self.server, address, port)
        with self.lock:
            self.results[result] += 1
            self.slowest = max(self.slowest, time.monotonic() - begin)

    def run(self):
        for number in range(self.count):
            thread = threading.Thread(target=self.one, args=self.places(number))
            thread.start()
            self.threads.append(thread)
            time.sleep(PAUSE)

    def start(self):
        self.runner = threading.Thread(target=self.run)
        self.runner.start()

    def end(self):
        self.runner.join()
        for thread in self.threads:
            thread.join()
        return self.results

    @property
    def lost(self):
        return self.count - self.results["answered"]

    def words(self):
        others = {what: count for what, count in sorted(self.results.items()) if what != "answered"}
        return "0" if not others else ", ".join(f"{count} {what}" for what, count in others.items())


def steered(number):
    prefix = ipaddress.ip_network(PREFIXES[4 if number % 2 else 6])
    return str(prefix[random.randrange(1, prefix.num_addresses - 1)]), 80


# MARK: - Ways

class Way:
    """A running server, and how clients reach it."""

    def __init__(self, lab, server):
        self.lab, self.server, self.process, self.follower = lab, server, None, None
        self.folder = f"{lab.folder}/{server.name}"
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o755)
        self.account = pwd.getpwnam(server.user)
        os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
        server.prepare(self.folder, self.account)

    def spawn(self, words, as_root=False):
        environment = {"PATH": os.environ["PATH"], "HOME": self.folder, **self.server.environment}
        account = {} if as_root else {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        with open(f"{self.folder}/log", "a") as log:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                    env=environment, start_new_session=True, **account)

    def log(self):
        with open(f"{self.folder}/log") as log:
            return log.read()[-2000:]

    def start(self):
        self.process = self.spawn(self.server.command(self.folder))

    def places(self, number):
        return steered(number)

    def is_reached(self):
        if self.process.poll() is not None and not self.server.is_replaced:
            raise Failed(f"{self.server.name} ended with {self.process.returncode}: {self.log()}")
        return all(ask(self.server, *self.places(number)) == "answered" for number in range(2))

    def await_reached(self):
        try:
            eventually(f"{self.server.name} is reached", self.is_reached)
        except Failed as failure:
            raise Failed(f"{failure}: {self.log()}") from None

    def reload(self):
        self.server.reload(self.folder, self.server_pid())

    def server_pid(self):
        return self.process.pid

    def stop(self):
        self.process.send_signal(self.server.end)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def end(self):
        if self.process and self.process.poll() is None:
            self.stop()


class Direct(Way):
    """The server at its own address, without steering."""
    name = "direct"

    def places(self, number):
        return ("127.0.0.1" if number % 2 else "::1"), self.server.port(self.folder)


class ByPid(Way):
    name = "pid"

    def start(self):
        super().start()
        words = [*self.lab.arguments("register", "web", "--pid", self.process.pid, *self.server.socket),
                 "--all", "--follow", "--wait", "30"]
        self.follower = self.spawn(words, as_root=True)

    def stop(self):
        super().stop()
        try:
            code = self.follower.wait(20)
        except subprocess.TimeoutExpired:
            self.follower.kill()
            raise Failed(f"register --follow keeps running though {self.server.name} has ended") from None
        if code != 0:
            raise Failed(f"register --follow exited with {code}: {self.log()}")


class Wrapped(Way):
    name = "run"

    def start(self):
        program = os.path.join(os.path.dirname(self.lab.program), "steerd-run")
        words = [program, self.server.label_word, "--steerd", self.lab.steerd, "--"]
        self.process = self.spawn(words + self.server.command(self.folder))

    def server_pid(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
            return int(children.read().split()[0])


# MARK: - Measuring

def during(way, options, change):
    """Returns the clients during a change, and those after it."""
    clients = Clients(way.server, options.connections, way.places)
    clients.start()
    time.sleep(10 * PAUSE)
    change()
    clients.end()
    way.await_reached()
    after = Clients(way.server, options.connections, way.places)
    after.start()
    after.end()
    return clients, after


def measure(lab, server, kind, options, problems):
    way = kind(lab, server)
    row = {"server": server.name, "title": server.title, "way": kind.name}
    try:
        way.start()
        way.await_reached()
        during_reload, after = during(way, options, way.reload)
        row["reload"] = during_reload.lost, during_reload.words(), round(during_reload.slowest, 2)
        row["after"] = after.lost, after.words()
        if after.lost:
            problems.append(f"{server.name}, {kind.name}: after the reload {after.words()}: {way.log()}")
        if kind is not Direct and during_reload.lost > server.loses:
            problems.append(f"{server.name}, {kind.name}: during the reload {during_reload.words()}: {way.log()}")
        if options.restarts and not server.is_replaced:
            def restart():
                way.stop()
                way.start()
            down, after = during(way, options, restart)
            row["restart"] = down.lost, down.words()
            if after.lost:
                problems.append(f"{server.name}, {kind.name}: after the restart {after.words()}: {way.log()}")
        if not server.is_replaced:
            way.end()
    except Failed as failure:
        problems.append(f"{server.name}, {kind.name}: {failure}")
    finally:
        for process in filter(None, (way.process, way.follower)):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    print("  ".join(f"{key} {value}" for key, value in row.items()), file=sys.stderr, flush=True)
    return row


def table(servers, rows):
    """Prints a row per server: the losses of a reload and a restart in each way."""
    def cell(server, kind, what):
        found = [row[what][1] for row in rows if (row["server"], row["way"]) == (server.name, kind.name) and what in row]
        return found[0] if found else ""
    print("| server | a reload: by itself | by pid | steerd-run | a restart: by itself | by pid | steerd-run |\n"
          "|---|---|---|---|---|---|---|", file=sys.stderr)
    for server in servers:
        cells = [cell(server, kind, what) for what in ("reload", "restart") for kind in (Direct, ByPid, Wrapped)]
        print("| " + " | ".join([server.title, *cells]) + " |", file=sys.stderr)


def start_steerd(lab, users):
    lab.steerd = f"{lab.folder}/steerd.sock"
    policy = lab.file("policy.json", {
        "labels": {"web": {"allow": {"users": sorted(users)}}},
        "bindings": [{"label": "web", "protocols": "tcp", "prefixes": list(PREFIXES.values()), "ports": 80}]})
    program = os.path.join(os.path.dirname(lab.program), "steerd")
    log = open(f"{lab.folder}/steerd.log", "w")
    process = subprocess.Popen([program, "--policy", policy, "--socket", lab.steerd, "--bpffs", lab.bpffs], stderr=log)
    eventually("steerd serves", lambda: "serving" in open(log.name).read())
    return process


def chosen(options):
    names = [server.name for server in SERVERS]
    if unknown := set(options.only) - set(names):
        sys.exit(f"reloads: unknown server {', '.join(sorted(unknown))}: --only takes {', '.join(names)}")
    return [server for server in SERVERS if not options.only or server.name in options.only]


def run(lab, options, problems):
    os.chmod(lab.folder, 0o755)
    servers = chosen(options)
    kinds = [kind for kind in (Direct, ByPid, Wrapped) if kind.name in options.ways]
    steerd = start_steerd(lab, {pwd.getpwnam(server.user).pw_uid for server in servers})
    rows = [measure(lab, server, kind, options, problems) for server in servers for kind in kinds]
    steerd.terminate()
    steerd.wait(10)
    table(servers, rows)
    return {"rows": rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steer", required=True, help="the command, with steerd and steerd-run in the same directory")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--ways", nargs="+", default=["direct", "pid", "run"])
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--no-restarts", dest="restarts", action="store_false")
    parser.add_argument("--packages", action="store_true", help="only print the Debian packages of the servers")
    options = parser.parse_args()
    if options.packages:
        print(*sorted({server.package for server in chosen(options)}))
    else:
        run_in_lab(run, options)


if __name__ == "__main__":
    main()
