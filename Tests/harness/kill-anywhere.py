#!/usr/bin/env python3
"""Kills `steer apply` and `steer upgrade` at every system call, before it and after it, and looks at what is left.

After each kill the next command must find either the old or the new policy, entire, and the registered
socket; the one after that must leave nothing behind in bpffs; and all the while connections to a label that
both policies have must never fail. Run inside a network namespace and a mount namespace of its own:

    unshare --net --mount Tests/harness/kill-anywhere.py --steer .build/debug/steer [--kills 500]

Prints one line of JSON; exits 1 when something was not as it should be.
"""
import argparse
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading

PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 24, 0x4200
OPTIONS = 1 | 8 | 0x100000  # TRACESYSGOOD, TRACECLONE, EXITKILL
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def run_and_kill(command, stop):
    """Runs a command and kills it at its n-th stop: before or after a system call. False: it ended first."""
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 1)
        libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.execv(command[0], command)
    os.waitpid(pid, 0)
    ptrace(PTRACE_SETOPTIONS, pid, OPTIONS)
    ptrace(PTRACE_SYSCALL, pid)
    seen = 0
    while True:
        stopped, status = os.waitpid(-1, 0x40000000)  # __WALL
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if stopped == pid:
                if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
                    sys.exit(f"{' '.join(command)} exited with {os.WEXITSTATUS(status)} by itself")
                return os.WIFSIGNALED(status)
            continue
        number = os.WSTOPSIG(status)
        if number == signal.SIGTRAP | 0x80:
            seen += 1
            if seen == stop:
                os.kill(pid, signal.SIGKILL)
                while True:
                    try:
                        dead, status = os.waitpid(-1, 0x40000000)
                    except ChildProcessError:
                        return True
                    if dead == pid and (os.WIFSIGNALED(status) or os.WIFEXITED(status)):
                        return True
        ptrace(PTRACE_SYSCALL, stopped, 0 if number & 0x80 or number in (signal.SIGTRAP, signal.SIGSTOP) else number)


class SteadyClient(threading.Thread):
    """Opens connections to a steered address, one after the other."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.connections, self.failures, self.done = address, 0, [], False

    def run(self):
        while not self.done:
            try:
                with socket.create_connection(self.address, timeout=5) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    if client.recv(3) != b"hey":
                        raise OSError("closed without an answer")
                self.connections += 1
            except OSError as error:
                self.failures.append(str(error))


def serve(listener):
    while True:
        connection, _ = listener.accept()
        try:
            connection.sendall(b"hey")
            connection.close()
        except OSError:
            pass


def policy(variant):
    prefixes = [f"198.51.{100 + variant}.{host}/32" for host in range(50)]
    return {
        "bindings": [
            {"label": "steady", "protocols": "tcp", "prefixes": ["192.0.2.0/24"], "ports": 80},
            {"label": f"web-{variant}", "protocols": "tcp", "prefixes": prefixes, "ports": "80,443"},
        ]
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steer", required=True)
    parser.add_argument("--kills", type=int, default=500)
    options = parser.parse_args()
    work = tempfile.mkdtemp(prefix="kill-anywhere-")
    bpffs = f"{work}/bpf"
    os.mkdir(bpffs)
    for command in (f"mount -t bpf bpf {bpffs}", "ip link set lo up", "ip route add local 192.0.2.0/24 dev lo"):
        subprocess.run(command.split(), check=True)
    steer_path = os.path.abspath(options.steer)

    def arguments(*words):
        return [steer_path, words[0], "--bpffs", bpffs, *words[1:]]

    def steer(*words):
        done = subprocess.run(arguments(*words), capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"steer {' '.join(words)} failed: {done.stderr.strip()}")
        return done.stdout

    def bindings():
        return sorted(json.dumps(b, sort_keys=True) for b in json.loads(steer("bindings", "--json"))["bindings"])

    def listing():
        found = []
        for folder, folders, files in os.walk(f"{bpffs}/steering"):
            found += [os.path.join(folder, name) for name in folders + files]
        return sorted("bindings" if "/bindings-" in path else path for path in found)

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    steer("load")
    steer("register", "steady", "--pid", str(os.getpid()), "tcp", "127.0.0.1:%d" % listener.getsockname()[1])
    files, states = [], []
    for variant in (0, 1):
        files.append(f"{work}/policy-{variant}.json")
        with open(files[-1], "w") as file:
            json.dump(policy(variant), file)
        steer("apply", files[-1])
        states.append(bindings())
    tidy = listing()
    sockets = steer("sockets", "--json")
    client = SteadyClient(("192.0.2.7", 80))
    client.start()

    problems, kills, took_effect, current = [], {"apply": 0, "upgrade": 0}, 0, 1
    verbs = ["apply", "upgrade"]
    stops = {}
    for verb in verbs:  # How many stops there are: each is tried, then random ones until there are enough.
        low, high = 1, 2
        while run_and_kill(arguments(verb, *([files[1 - current]] if verb == "apply" else [])), high):
            low, high = high, high * 2
            current = states.index(bindings())
        current = states.index(bindings())
        stops[verb] = high
    plan = [(verb, stop) for verb in verbs for stop in range(1, stops[verb])]
    random.shuffle(plan)
    for verb, stop in plan:
        if sum(kills.values()) >= options.kills:
            break
        command = arguments(verb, files[1 - current]) if verb == "apply" else arguments(verb)
        if not run_and_kill(command, stop):
            current = states.index(bindings())
            continue  # It had ended before.
        kills[verb] += 1
        found = bindings()
        if found not in (states if verb == "apply" else [states[current]]):
            problems.append(f"{verb} killed at stop {stop}: neither the old nor the new policy")
            break
        took_effect += found != states[current]
        current = states.index(found)
        if steer("sockets", "--json") != sockets:
            problems.append(f"{verb} killed at stop {stop}: the registered sockets differ")
        steer("bind", "steady", "tcp", "192.0.2.0/25", "80")
        steer("unbind", "steady", "tcp", "192.0.2.0/25", "80")
        if listing() != tidy:
            problems.append(f"{verb} killed at stop {stop}: left behind: {set(listing()) ^ set(tidy)}")
            break
    client.done = True
    client.join()
    steer("unload")
    if listing():
        problems.append(f"unloading left {listing()}")
    subprocess.run(["umount", bpffs])
    if client.failures:
        problems.append(f"{len(client.failures)} connections failed: {client.failures[0]}")
    print(json.dumps({
        "kills": kills, "stops": stops, "changesThatTookEffect": took_effect,
        "connections": client.connections, "failedConnections": len(client.failures), "problems": problems}))
    sys.exit(1 if problems else 0)


main()
