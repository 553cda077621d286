"""Users attack steerd in one way after the other, while a well-behaved client sends requests all the time: that client is
served throughout, and steerd's memory and descriptors stay bounded. Finally, steerd is stopped during the attacks.

Some attackers may use no label, others a label of their own.

    scripts/harness steerd-abuse --steer .build/release/steer [--seconds 60] [--each-kind]

Descriptors of all kinds are sent in turn, or with --each-kind, each kind for that time.

Prints a table of figures on standard error, and one line of JSON; exits 1 if any check failed.
"""
import argparse
import os
import resource
import socket
import struct
import subprocess
import sys
import time

import descriptors as kinds
from support import PATIENCE, Failed, fork, run_in_lab

STRANGER, ALLOWED, GOOD = 65532, 65531, 65534
POLICY = {
    "labels": {"web": {"allow": {"users": GOOD}}, "dns": {"allow": {"users": ALLOWED}}},
    "bindings": [{"label": "web", "protocols": "tcp", "prefixes": "192.0.2.0/24", "ports": 80},
                 {"label": "dns", "protocols": "udp", "prefixes": "192.0.2.0/24", "ports": 53}],
}


def connected(path):
    """Returns a connected client. Without settimeout, with which connect() fails at once if the queue is full."""
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

def busy(path, kept):
    """Only uses up the processors: the reference for those that do so while they attack."""
    for _ in range(1_000_000):
        pass


def opened_and_closed(path, kept):
    """Only opens and closes as many sockets as silent_connections: another reference."""
    for _ in range(10_000):
        kept.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    kept.clear()


def silent_connections(path, kept):
    """Opens ten thousand connections that send nothing."""
    for _ in range(10_000):
        kept.append(connected(path))
    kept.clear()


def odd_messages(path, kept):
    """Sends nothing, a byte, half a message, a message that is too long, and bytes that are not a message."""
    for message in (b"", b"s", b"steering/1 regis", b"x" * 100_000, bytes(range(256)), b"steering/1 claim " + b"a" * 200):
        with connected(path) as client:
            client.send(message)


def descriptors(path, kept):
    """Sends as many descriptors per message as the kernel accepts, over as many connections as are allowed."""
    if not kept:
        kept.append(os.open("/dev/null", os.O_RDONLY))
    clients = [connected(path) for _ in range(32)]
    for client in clients:
        socket.send_fds(client, [b"steering/1 register dns"], kept[:1] * 253)
    for client in clients:
        client.close()


def pipelined_descriptors(path, kept):
    """Sends such messages on one connection, without waiting for answers."""
    if not kept:
        kept.append(os.open("/dev/null", os.O_RDONLY))
    with connected(path) as client:
        for _ in range(50):
            socket.send_fds(client, [b"steering/1 register dns"], kept[:1] * 253)


def many_sockets(path, kept):
    """Registers a group of 253 sockets, repeatedly."""
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
    """Claims 253 sockets, repeatedly, and never receives the answers."""
    many_sockets(path, kept)
    unread = []
    for _ in range(500):
        client = connected(path)
        client.send(b"steering/1 claim dns")
        client.send(b"steering/1 claim dns")
        unread.append(client)
    time.sleep(0.2)


WAYS = ("steering/1 register dns", "steering/1 register dns replacing", "steering/1 unregister dns", "dns#")


def hand_over(path, number, numbers):
    """Sends descriptors in one of the ways, and closes them. Waits for the answer only part of the time."""
    with connected(path) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 100_000))
        socket.send_fds(client, [WAYS[number % len(WAYS)].encode()], numbers)
        for each in numbers:
            os.close(each)
        if number // len(WAYS) % 2:
            client.recv(1 << 18)


def sending(name, makers, prepared):
    """Returns an attack that sends descriptors of some kinds in turn, from prepared ones where only root may create them."""
    def attack(path, kept):
        for kind, make in makers.items():
            for number in range(2 * len(WAYS)):
                try:
                    numbers = make()
                except OSError:
                    numbers = [os.dup(each) for each in prepared.get(kind, ())]
                if numbers:
                    try:
                        hand_over(path, number, numbers)
                    except OSError:
                        pass  # Refused, or no answer in time.
    attack.__name__ = name
    return attack


def silent_files(path, kept):
    """Sends files whose close() blocks, since their file system never answers. Keeps its own descriptors open."""
    kept.append(os.open(f"{FUSE_FOLDER}/file", os.O_RDWR))
    with connected(path) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 200_000))
        socket.send_fds(client, [WAYS[len(kept) % len(WAYS)].encode()], kept[-1:])
        client.recv(1 << 18)


def locking(protocol):
    """Returns an attack that registers sockets and holds their locks, by calls that never return."""
    def attack(path, kept):
        made = kinds.registrable(protocol)
        kept.append(made)
        with connected(path) as client:
            ask(client, "steering/1 register dns replacing", [made.fileno()])
        kinds.hold_lock(made, f"{FUSE_FOLDER}/file")
        for text, numbers in (("list", []), ("register", [made.fileno()]), ("unregister", [])):
            with connected(path) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 200_000))
                socket.send_fds(client, [f"steering/1 {text} dns".encode()], numbers)
                client.recv(1 << 18)
    attack.__name__ = f"locked_{protocol}_sockets"
    return attack


def turned_sockets(path, kept):
    """Has held listeners become connections with unsent data, and releases them from their label."""
    def register(numbers):
        with connected(path) as client:
            ask(client, "steering/1 register dns replacing", numbers)
    for way in ("steering/1 unregister dns", "steering/1 list dns", "steering/1 claim dns"):
        kinds.turned_after(register)
        with connected(path) as client:
            client.send(way.encode())
            client.recv(1 << 18)


def flood(path, kept):
    """Connects and closes without waiting."""
    for _ in range(1000):
        connected_at_once(path).close()


ATTACKS = [(STRANGER, attack) for attack in (busy, opened_and_closed)]
ATTACKS += [(user, attack) for user in (STRANGER, ALLOWED)
            for attack in (silent_connections, odd_messages, descriptors, pipelined_descriptors, flood)]
ATTACKS += [(ALLOWED, attack) for attack in (many_sockets, unread_claims, turned_sockets)]
FUSE_FOLDER = "/tmp/steering-silent-files"


def prepared_kinds(problems):
    """Creates a descriptor of each kind that the kernel has, for users who may not create it themselves."""
    prepared, lacking = {}, []
    for kind, make in {**kinds.OTHERS, **kinds.SOCKETS}.items():
        try:
            prepared[kind] = make()
        except OSError as failure:
            lacking.append(f"{kind} ({failure.strerror or failure})")
    print(f"kinds: {len(prepared)}; missing here: {', '.join(lacking) or 'none'}", file=sys.stderr)
    if len(prepared) < 50:
        problems.append(f"only {len(prepared)} kinds of descriptors could be created")
    return prepared


def kinds_to_send(each, prepared):
    makers = {kind: make for kind, make in {**kinds.OTHERS, **kinds.SOCKETS}.items() if kind in prepared}
    groups = {kind: {kind: make} for kind, make in makers.items()} if each else {"all kinds": makers}
    return [(user, sending(f"sends {name}", group, prepared)) for name, group in groups.items()
            for user in (ALLOWED, STRANGER)]


def serve_silent_files():
    """Mounts the file system in another process; once that ends, all requests fail with an error."""
    def serve():
        kinds.SilentFileSystem(FUSE_FOLDER).serve()
    server = fork.Process(target=serve, daemon=True)
    server.start()
    deadline = time.monotonic() + 10
    while not os.path.exists(f"{FUSE_FOLDER}/file"):
        if not server.is_alive() or time.monotonic() > deadline:
            return None
        time.sleep(0.01)
    return server


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
    """Registers once; then, with a new connection each time, lists and claims its sockets."""
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
    """Returns resident KiB and open descriptors."""
    with open(f"/proc/{pid}/status") as status:
        [resident] = [int(line.split()[1]) for line in status if line.startswith("VmRSS:")]
    return resident, len(os.listdir(f"/proc/{pid}/fd"))


def processes(pid):
    """Returns the number of steerd's processes, itself included."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                parents[int(name)] = int(stat.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass
    found = {pid}
    while more := {each for each, parent in parents.items() if parent in found} - found:
        found |= more
    return len(found)


def survive(steerd, path, user, attack, seconds, problems):
    stopping, rounds = fork.RawValue("b", 0), fork.RawArray("Q", 2)
    receiving, sending = fork.Pipe(False)
    good = fork.Process(target=behave, args=(path, stopping, sending), daemon=True)
    bad = [fork.Process(target=misbehave, args=(user, attack, path, stopping, rounds, number), daemon=True)
           for number in range(2)] if attack else []
    for process in [good, *bad]:
        process.start()
    peak, end = (0, 0, 0), time.monotonic() + seconds
    while time.monotonic() < end:
        peak = tuple(map(max, peak, (*usage(steerd.pid), processes(steerd.pid))))
        time.sleep(0.05)
    stopping.value = 1
    if not receiving.poll(60):
        raise Failed("the well-behaved client is not served")
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
           "residentKiB": peak[0], "descriptors": peak[1], "processes": peak[2]}
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
    prepared = prepared_kinds(problems)
    attacks = [(STRANGER, None), *ATTACKS, *kinds_to_send(options.each_kind, prepared)]
    rows = [survive(steerd, path, *attack, options.seconds, problems) for attack in attacks
            if not attack[1] or options.only in attack[1].__name__]
    files = serve_silent_files()
    if not files:
        problems.append("cannot mount a FUSE file system: does /dev/fuse exist?")
    else:
        silent = [(user, silent_files) for user in (ALLOWED, STRANGER)]
        silent += [(ALLOWED, locking(protocol)) for protocol in ("udp", "tcp")]
        rows += [survive(steerd, path, *attack, options.seconds, problems) for attack in silent
                 if options.only in attack[1].__name__]
    time.sleep(2)
    resident, left = usage(steerd.pid)
    # What it may hold: 64 connections of two users, 254 sockets, one message, and what every process has.
    most = 64 + 33 + 254 + 253 + 64
    for row in rows:
        if row["descriptors"] > most:
            problems.append(f"{row['misbehaves']}: {row['descriptors']} descriptors, expected at most {most}")
    grown = max(row["residentKiB"] for row in rows) - rows[0]["residentKiB"]
    if grown > 64 << 10:
        problems.append(f"memory grew by {grown} KiB")
    if steerd.poll() is not None:
        problems.append("steerd has ended")
    end = end_amid(steerd, path, prepared)
    if files:
        files.kill()
        subprocess.run(["umount", "-l", FUSE_FOLDER])
    return {"secondsEach": options.seconds, "attacks": rows, "residentKiBAfter": resident, "descriptorsAfter": left,
            "secondsToEnd": end, "logKiB": os.path.getsize(log.name) >> 10}


def end_amid(steerd, path, prepared):
    """Returns how long steerd takes to end while all kinds of descriptors are sent, and some are stuck."""
    stopping, rounds = fork.RawValue("b", 0), fork.RawArray("Q", 1)
    [attack] = [attack for user, attack in kinds_to_send(False, prepared) if user == ALLOWED]
    bad = fork.Process(target=misbehave, args=(ALLOWED, attack, path, stopping, rounds, 0), daemon=True)
    bad.start()
    time.sleep(1)
    began = time.monotonic()
    steerd.terminate()
    try:
        steerd.wait(30)
    except subprocess.TimeoutExpired:
        raise Failed("steerd does not stop") from None
    seconds = time.monotonic() - began
    bad.kill()
    return round(seconds, 2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steer", required=True, help="the command, with steerd in the same directory")
    parser.add_argument("--only", default="", help="only attacks whose name contains this")
    parser.add_argument("--each-kind", action="store_true", help="send each kind of descriptor by itself")
    parser.add_argument("--seconds", type=float, default=60, help="duration of each attack")
    run_in_lab(run, parser.parse_args())


main()
