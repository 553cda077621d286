"""Users do to steerd what they can, one thing after the other, while one who behaves asks it on and on: he is
served throughout, and steerd's memory and descriptors stay bounded.

Some of those who misbehave may use no label at all, others one of their own.

    scripts/harness steerd-abuse --steer .build/release/steer [--seconds 60]

Prints a table of figures on standard error, and one line of JSON; exits 1 when something was not as it should be.
"""
import argparse
import os
import resource
import socket
import struct
import subprocess
import sys
import time

from support import PATIENCE, Failed, fork, run_in_lab

STRANGER, ALLOWED, GOOD = 65532, 65531, 65534
POLICY = {
    "labels": {"web": {"allow": {"users": GOOD}}, "dns": {"allow": {"users": ALLOWED}}},
    "bindings": [{"label": "web", "protocols": "tcp", "prefixes": "192.0.2.0/24", "ports": 80},
                 {"label": "dns", "protocols": "udp", "prefixes": "192.0.2.0/24", "ports": 53}],
}


def connected(path):
    """Not by settimeout: to connect then fails at once where the queue is full, instead of waiting in turn."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for option in socket.SO_RCVTIMEO, socket.SO_SNDTIMEO:
        client.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 10, 0))
    client.connect(path)
    return client


def connected_at_once(path):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.setblocking(False)
    try:
        client.connect(path)
    except BlockingIOError:
        pass
    return client


def ask(client, text, descriptors=()):
    socket.send_fds(client, [text.encode()], list(descriptors))
    answer, received, *_ = socket.recv_fds(client, 1 << 18, 253)
    for descriptor in received:
        os.close(descriptor)
    if not answer.startswith(b"ok"):
        raise OSError(answer.decode() or "closed")
    return len(received)


# MARK: - What they do. Each returns after a while, and is called again.

def silent_connections(path, kept):
    """Connections that send nothing: ten thousand, and again."""
    for _ in range(10_000):
        kept.append(connected(path))
    kept.clear()


def odd_messages(path, kept):
    """Nothing, a byte, half a message, one that is too long, bytes that are none of ours."""
    for message in (b"", b"s", b"steering/1 regis", b"x" * 100_000, bytes(range(256)), b"steering/1 claim " + b"a" * 200):
        with connected(path) as client:
            client.send(message)


def descriptors(path, kept):
    """As many descriptors in a message as the kernel takes, over as many connections as there may be."""
    if not kept:
        kept.append(os.open("/dev/null", os.O_RDONLY))
    clients = [connected(path) for _ in range(32)]
    for client in clients:
        socket.send_fds(client, [b"steering/1 register dns"], kept[:1] * 253)
    for client in clients:
        client.close()


def pipelined_descriptors(path, kept):
    """The same without waiting for an answer, on one connection."""
    if not kept:
        kept.append(os.open("/dev/null", os.O_RDONLY))
    with connected(path) as client:
        for _ in range(50):
            socket.send_fds(client, [b"steering/1 register dns"], kept[:1] * 253)


def many_sockets(path, kept):
    """A group of 253 sockets, registered and unregistered."""
    if not kept:
        for _ in range(253):
            member = socket.socket(type=socket.SOCK_DGRAM)
            member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            member.bind(("127.0.0.1", 5353))
            kept.append(member)
    with connected(path) as client:
        for _ in range(5):
            socket.send_fds(client, [b"steering/1 register dns replacing"], [member.fileno() for member in kept])
            client.recv(1 << 18)


def unread_claims(path, kept):
    """Claims 253 sockets, over and over, and never receives one."""
    many_sockets(path, kept)
    unread = []
    for _ in range(500):
        client = connected(path)
        client.send(b"steering/1 claim dns")
        client.send(b"steering/1 claim dns")
        unread.append(client)
    time.sleep(0.2)


def flood(path, kept):
    """Connects and closes, and never waits."""
    for _ in range(1000):
        connected_at_once(path).close()


ATTACKS = [(STRANGER, silent_connections), (STRANGER, odd_messages), (STRANGER, descriptors),
           (STRANGER, pipelined_descriptors), (STRANGER, flood), (ALLOWED, silent_connections), (ALLOWED, odd_messages),
           (ALLOWED, descriptors), (ALLOWED, pipelined_descriptors), (ALLOWED, many_sockets), (ALLOWED, unread_claims)]


def become(user):
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def misbehave(user, attack, path, stopping, rounds, number):
    become(user)
    kept = []
    while not stopping.value:
        try:
            attack(path, kept)
        except OSError:
            pass  # Refused, closed, or no answer: that is what it deserves.
        rounds[number] += 1


def behave(path, stopping, results):
    """Registers once; then a connection each time: list, and claim what it has registered."""
    become(GOOD)
    listener = socket.create_server(("127.0.0.1", 0))
    latencies, failures = [], []
    while not stopping.value:
        began = time.monotonic()
        try:
            with connected(path) as client:
                if not latencies:
                    ask(client, "steering/1 register web replacing", [listener.fileno()])
                ask(client, "steering/1 list web")
                if ask(client, "steering/1 claim web") != 1:
                    raise OSError("not one socket")
        except OSError as failure:
            failures.append(str(failure))
        latencies.append(time.monotonic() - began)
        time.sleep(0.002)
    results.send((latencies, failures))


def usage(pid):
    """Resident KiB and open descriptors."""
    with open(f"/proc/{pid}/status") as status:
        [resident] = [int(line.split()[1]) for line in status if line.startswith("VmRSS:")]
    return resident, len(os.listdir(f"/proc/{pid}/fd"))


def survive(steerd, path, user, attack, seconds, problems):
    stopping, rounds = fork.RawValue("b", 0), fork.RawArray("Q", 2)
    receiving, sending = fork.Pipe(False)
    good = fork.Process(target=behave, args=(path, stopping, sending), daemon=True)
    bad = [fork.Process(target=misbehave, args=(user, attack, path, stopping, rounds, number), daemon=True)
           for number in range(2)] if attack else []
    for process in [good, *bad]:
        process.start()
    peak, end = (0, 0), time.monotonic() + seconds
    while time.monotonic() < end:
        peak = tuple(map(max, peak, usage(steerd.pid)))
        time.sleep(0.05)
    stopping.value = 1
    if not receiving.poll(60):
        raise Failed("the one who behaves is not served")
    latencies, failures = receiving.recv()
    for process in bad:
        process.kill()
    name = f"{attack.__name__} by {'a stranger' if user == STRANGER else 'one with a label'}" if attack else "nobody"
    if failures:
        problems.append(f"{name}: {len(failures)} failed, such as {failures[0]}")
    latencies.sort()
    row = {"misbehaves": name, "rounds": sum(rounds), "served": len(latencies), "failed": len(failures),
           "medianMs": round(latencies[len(latencies) // 2] * 1000, 2),
           "p99Ms": round(latencies[len(latencies) * 99 // 100] * 1000, 2), "maxMs": round(latencies[-1] * 1000, 2),
           "residentKiB": peak[0], "descriptors": peak[1]}
    print("  ".join(f"{key} {value}" for key, value in row.items()), file=sys.stderr, flush=True)
    return row


def run(lab, options, problems):
    os.chmod(lab.folder, 0o755)
    path = f"{lab.folder}/steerd.sock"
    log = open(f"{lab.folder}/log", "w+")
    program = os.path.join(os.path.dirname(lab.program), "steerd")
    steerd = subprocess.Popen([program, "--policy", lab.file("policy.json", POLICY), "--socket", path,
                               "--bpffs", lab.bpffs], stderr=log)
    deadline = time.monotonic() + PATIENCE
    while not os.path.exists(path) or "serving" not in open(log.name).read():
        if time.monotonic() > deadline or steerd.poll() is not None:
            raise Failed(f"steerd does not serve: {open(log.name).read()}")
        time.sleep(0.05)
    rows = [survive(steerd, path, *attack, options.seconds, problems) for attack in [(STRANGER, None), *ATTACKS]
            if not attack[1] or options.only in attack[1].__name__]
    time.sleep(2)
    resident, left = usage(steerd.pid)
    # What it may hold: 64 connections of two users, 254 sockets, one message, and what every process has.
    most = 64 + 33 + 254 + 253 + 64
    for row in rows:
        if row["descriptors"] > most:
            problems.append(f"{row['misbehaves']}: {row['descriptors']} descriptors, {most} at most were expected")
    grown = max(row["residentKiB"] for row in rows) - rows[0]["residentKiB"]
    if grown > 64 << 10:
        problems.append(f"memory grew by {grown} KiB")
    if steerd.poll() is not None:
        problems.append("steerd has ended")
    steerd.terminate()
    steerd.wait(10)
    return {"secondsEach": options.seconds, "attacks": rows, "residentKiBAfter": resident, "descriptorsAfter": left,
            "logKiB": os.path.getsize(log.name) >> 10}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steer", required=True, help="the command; steerd is beside it")
    parser.add_argument("--only", default="", help="attacks whose name has this in it")
    parser.add_argument("--seconds", type=float, default=60, help="of each thing that is done")
    run_in_lab(run, parser.parse_args())


main()
