"""Restarts a service under load, repeatedly, while steerd holds its sockets; then kills steerd.

The load: new TCP connections to random addresses of a /24 and a /48, each of which sends a request and checks the
reply, and UDP requests in parallel, as fast as the clients can.

    scripts/bench restart [--restarts 200] [--kills 50]

Prints a table on standard error, and one line of JSON; exits 1 if more requests failed than allowed: none in a graceful
hand-over, in a replacement by a new socket, or while steerd is killed; when the service is killed, those that it had
accepted and not answered.
"""
import argparse
import os
import select
import signal
import socket
import subprocess
import sys
import time

from support import PATIENCE, Failed, TCP_PORT, UDP_PORT, fork, run_in_lab, steady_bindings
from traffic import Traffic

USER = 65534
REUSED = b"\1\0\0\0\0\0\0\0"


# MARK: - Clients

def echo_tcp(family, address):
    token = os.urandom(8)
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(PATIENCE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, REUSED)  # A reset: no TIME_WAIT.
        client.connect((address, TCP_PORT))
        client.sendall(token)
        if client.recv(8) != token:
            raise OSError("closed without an answer")


def echo_udp(family, address):
    token = os.urandom(8)
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        # Not connected: the reply comes from where the service is bound.
        client.sendto(token, (address, UDP_PORT))
        if client.recv(64) != token:
            raise OSError("wrong reply")


KINDS = [(echo_tcp, 4), (echo_tcp, 6), (echo_udp, 4), (echo_udp, 6)]


# MARK: - The service

def made():
    """Returns sockets of the instance's own, on ports that no other instance has; which ones does not matter."""
    sockets = []
    for family, address in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"):
        sockets.append(socket.create_server((address, 0), family=family, backlog=4096))
        receiver = socket.socket(family, socket.SOCK_DGRAM)
        receiver.bind((address, 0))
        sockets.append(receiver)
    return sockets


def ask(steerd, text, sockets=()):
    socket.send_fds(steerd, [text.encode()], [each.fileno() for each in sockets])
    answer, descriptors, *_ = socket.recv_fds(steerd, 1 << 18, 253)
    if not answer.startswith(b"ok") and not answer.startswith(b"error socketNotFound"):
        raise SystemExit(answer.decode())
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def answer(ready, counts):
    """Accepts one request, and answers it."""
    counts[0] += 1
    try:
        if ready.type == socket.SOCK_STREAM:
            connection, _ = ready.accept()
            with connection:
                connection.settimeout(PATIENCE)
                connection.sendall(connection.recv(64))
        else:
            data, client = ready.recvfrom(64, socket.MSG_DONTWAIT)
            ready.sendto(data, client)
    except BlockingIOError:
        pass  # The other instance was quicker.
    except OSError:
        pass  # The client's doing: it will tell.
    counts[1] += 1


def serve(path, replacing, counts, ready):
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    steerd = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    steerd.connect(path)
    claimed = ask(steerd, "steering/1 claim steady")
    own = []
    if replacing or not claimed:
        own = made()
        ask(steerd, "steering/1 register steady replacing", own)
    for each in own + claimed:
        each.setblocking(False)
    ready.set()
    quiet = time.monotonic()
    while not stopping:
        readable, _, _ = select.select(own + claimed, [], [], 0.05)
        for each in readable:
            answer(each, counts)
        if any(each in claimed for each in readable):
            quiet = time.monotonic()
        elif own and claimed and time.monotonic() - quiet > 0.3:
            for each in claimed:
                each.close()
            claimed = []


# MARK: - Restarts

class Service:
    def __init__(self, path):
        self.path, self.process, self.counts = path, None, None

    def start(self, replacing=False):
        counts, ready = fork.RawArray("Q", 2), fork.Event()
        process = fork.Process(
            target=serve, args=(self.path, replacing, counts, ready), daemon=True)
        process.start()
        if not ready.wait(20):
            raise Failed("the service does not start")
        return process, counts

    def restart(self, way):
        """Replaces the instance; returns how many requests the previous one had accepted and not answered."""
        former, counts = self.process, self.counts
        if way == "killed":
            former.kill()
            former.join()
            self.process, self.counts = self.start()
            return counts[0] - counts[1]
        self.process, self.counts = self.start(replacing=way == "replaced")
        if former:
            former.terminate()
            former.join(20)
            if former.exitcode != 0:
                raise Failed(f"the previous instance ended with {former.exitcode}")
        return 0


class Steerd:
    def __init__(self, lab):
        self.lab, self.path, self.process = lab, f"{lab.folder}/steerd.sock", None
        self.policy = lab.file("policy.json", {
            "labels": {"steady": {"allow": {"users": USER}}}, "bindings": steady_bindings()})
        self.start()

    def start(self):
        program = os.path.join(os.path.dirname(self.lab.program), "steerd")
        log = f"{self.lab.folder}/log"
        with open(log, "w") as file:
            self.process = subprocess.Popen([program, "--policy", self.policy, "--socket", self.path, "--bpffs",
                                             self.lab.bpffs], stderr=file)
        deadline = time.monotonic() + PATIENCE
        while "serving" not in open(log).read():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Failed(f"steerd does not serve: {open(log).read()}")
            time.sleep(0.01)


def measure(name, times, step, problems):
    traffic = Traffic(kinds=KINDS)
    traffic.start()
    began, taken = time.monotonic(), 0
    time.sleep(0.3)
    for _ in range(times):
        taken += step() or 0
        time.sleep(0.1)
    time.sleep(0.3)
    seconds = time.monotonic() - began
    _, words = traffic.stop()
    tcp, udp, failed = traffic.total(echo_tcp), traffic.total(echo_udp), sum(traffic.failures)
    if failed > taken:
        problems.append(f"{name}: {failed} failed, expected at most {taken}: {words}")
    row = {"restarts": name, "times": times, "tcp": tcp, "udp": udp, "failed": failed, "takenAndNotAnswered": taken,
           "seconds": round(seconds, 1)}
    print("  ".join(f"{key} {value}" for key, value in row.items()), file=sys.stderr, flush=True)
    return row


def run(lab, options, problems):
    os.chmod(lab.folder, 0o755)
    steerd = Steerd(lab)
    service = Service(steerd.path)
    service.restart("handed over")
    rows = [measure(f"the service, {way}", options.restarts, lambda: service.restart(way), problems)
            for way in ("handed over", "replaced", "killed")]

    def kill():
        steerd.process.kill()
        steerd.process.wait()
        steerd.start()

    rows.append(measure("steerd, killed", options.kills, kill, problems))
    service.restart("replaced")  # steerd holds again.
    rows.append(measure("the service again, handed over", 5, lambda: service.restart("handed over"), problems))
    service.process.kill()
    steerd.process.terminate()
    steerd.process.wait(10)
    return {"rows": rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steer", required=True, help="the command, with steerd in the same directory")
    parser.add_argument("--restarts", type=int, default=200)
    parser.add_argument("--kills", type=int, default=50)
    run_in_lab(run, parser.parse_args())


main()
