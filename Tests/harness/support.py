"""What the harnesses share: a network of their own, servers and clients that never rest, and a tracer that
stops a command at any system call."""
import contextlib
import ctypes
import ipaddress
import json
import multiprocessing
import os
import platform
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

fork = multiprocessing.get_context("fork")
PREFIXES = {4: "192.0.2.0/24", 6: "2001:db8:7::/48"}
TCP_PORT, UDP_PORT = 80, 5300


def enter_namespaces():
    """Begins anew in a network namespace and a mount namespace of its own; everything in them ends with it."""
    if os.environ.get("STEERING_HARNESS") != "inside":
        os.environ["STEERING_HARNESS"] = "inside"
        os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
                              sys.executable, *sys.argv])
    for command in ("ip link set lo up", f"ip route add local {PREFIXES[4]} dev lo",
                    f"ip -6 route add local {PREFIXES[6]} dev lo"):
        subprocess.run(command.split(), check=True)


class Lab:
    """A BPF file system, and the command that keeps its state there."""

    def __init__(self, steer):
        self.program = os.path.abspath(steer)
        self.folder = tempfile.mkdtemp(prefix="steering-harness-")
        self.bpffs = f"{self.folder}/bpf"
        os.mkdir(self.bpffs)
        subprocess.run(["mount", "-t", "bpf", "bpf", self.bpffs], check=True)

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

    def end(self, running, timeout=60):
        """What a command printed; Failed when it did not succeed."""
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
        """What is in the BPF file system; which generation the bindings are of is left out."""
        found = []
        for folder, folders, files in os.walk(self.bpffs):
            if folder == self.bpffs:
                folders[:] = [name for name in folders if name == "steering"]
                files = []
            found += [os.path.relpath(os.path.join(folder, name), self.bpffs) for name in folders + files]
        return sorted(path.split("/bindings-")[0] + "/bindings" if "/bindings-" in path else path for path in found)

    def state(self):
        """The directory that holds what is in force."""
        folder = f"{self.bpffs}/steering"
        [name] = [name for name in os.listdir(folder) if name.isdigit()]
        return f"{folder}/{name}"

    def programs(self):
        """The programs that the kernel holds for this steering: those that steer to its sockets."""
        with opened(OBJ_GET, address_of(f"{self.state()}/sockets".encode() + b"\0"), 0, 0, 0) as sockets:
            [wanted] = struct.unpack_from("=4xI", information(sockets, 80))
        found, number = [], 0
        while (number := next_program(number)) is not None:
            try:
                with opened(PROG_GET_FD_BY_ID, number, 0, 0, 0) as program:
                    maps = (ctypes.c_uint32 * 64)()
                    info = bytearray(232)
                    # bpf_prog_info: how many maps at 52, where their numbers go at 56.
                    struct.pack_into("=IQ", info, 52, len(maps), ctypes.addressof(maps))
                    [count] = struct.unpack_from("=I", information(program, len(info), info), 52)
            except FileNotFoundError:
                continue  # It has just ended.
            if wanted in maps[:count]:
                found.append(number)
        return found


class Failed(Exception):
    pass


def bindings(text):
    """The bindings that `steer bindings --json` printed, comparable."""
    return frozenset(tuple(sorted(binding.items())) for binding in json.loads(text)["bindings"])


# MARK: - Policies

def steady_bindings():
    return [
        {"label": "steady", "protocols": "tcp", "prefixes": list(PREFIXES.values()), "ports": TCP_PORT},
        {"label": "steady", "protocols": "udp", "prefixes": list(PREFIXES.values()), "ports": UDP_PORT},
    ]


def policy(variant, size=50, spread=False):
    """Policies of different variants share the bindings of the steady label, and nothing else.

    Spread, each host has a port of its own: hosts times ports is what makes the kernel's tables large. 600 outgrow
    the smallest."""
    label = {"label": f"web-{variant}", "protocols": "tcp"}
    hosts = [f"10.{variant}.{number >> 8}.{number & 255}/32" for number in range(size)]
    if spread:
        return {"bindings": steady_bindings() + [
            {**label, "prefixes": [host], "ports": 2000 + 2 * number} for number, host in enumerate(hosts)]}
    return {"bindings": steady_bindings() + [{**label, "prefixes": hosts, "ports": "80,443"}]}


# MARK: - Traffic

def serve_tcp(address):
    listener = socket.create_server(
        (address, 8080), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=4096)
    while True:
        connection, _ = listener.accept()
        try:
            connection.sendall(b"hey")
        except OSError:
            pass
        connection.close()


def serve_udp(address):
    """Replies from the address that was asked."""
    six = ":" in address
    server = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    level, kind = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) if six else (socket.IPPROTO_IP, 8)
    server.setsockopt(level, socket.IPV6_RECVPKTINFO if six else 8, 1)
    server.setsockopt(level, 78 if six else 15, 1)  # FREEBIND: replies from addresses that are only routed here.
    server.bind((address, UDP_PORT))
    while True:
        data, ancillary, _, client = server.recvmsg(64, 256)
        information = next(content for at, what, content in ancillary if (at, what) == (level, kind))
        # in_pktinfo: the reply leaves from the middle field, which is the packet's local address.
        source = information[:16] + bytes(4) if six else bytes(4) + information[8:12] + bytes(4)
        try:
            server.sendmsg([data], [(level, kind, source)], 0, client)
        except OSError:
            pass


def ask_tcp(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # A reset: no TIME_WAIT.
        client.connect((address, TCP_PORT))
        if client.recv(3) != b"hey":
            raise OSError("closed without an answer")


def ask_udp(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect((address, UDP_PORT))  # So that a refusal is heard, and only a reply from there.
        token = os.urandom(8)
        client.send(token)
        if client.recv(64) != token:
            raise OSError("another reply")


class Traffic:
    """Servers on loopback, and clients that ask random steered addresses, one after the other, without end."""

    KINDS = [(ask, version) for ask in (ask_tcp, ask_udp) for version in (4, 6)]

    def __init__(self, kinds=None, clients=1, pause=0.0):
        self.kinds = (kinds or self.KINDS) * clients
        self.counts = fork.RawArray("Q", len(self.kinds))
        self.failures = fork.RawArray("Q", len(self.kinds))
        self.words = [fork.Array("c", 256) for _ in self.kinds]
        self.stopping = fork.RawValue("b", 0)
        self.pause, self.servers, self.clients = pause, [], []

    def serve(self, lab):
        """Starts the servers and registers them as the steady label."""
        for ask, version in dict.fromkeys(self.kinds):
            address = "127.0.0.1" if version == 4 else "::1"
            server = fork.Process(target=serve_tcp if ask is ask_tcp else serve_udp, args=(address,), daemon=True)
            server.start()
            self.servers.append(server)
            selector = (["tcp", "127.0.0.1:8080" if version == 4 else "[::1]:8080"] if ask is ask_tcp else
                        ["udp", f"127.0.0.1:{UDP_PORT}" if version == 4 else f"[::1]:{UDP_PORT}"])
            deadline = time.monotonic() + 10
            while True:
                try:
                    lab.steer("register", "steady", "--pid", server.pid, *selector)
                    break
                except Failed:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)

    def start(self):
        for number in range(len(self.kinds)):
            client = fork.Process(target=self.run, args=(number,), daemon=True)
            client.start()
            self.clients.append(client)

    def run(self, number):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ask, version = self.kinds[number]
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        random.seed(number)
        while not self.stopping.value:
            prefix = ipaddress.ip_network(PREFIXES[version])
            address = str(prefix[random.randrange(1, prefix.num_addresses)])
            try:
                ask(family, address)
                self.counts[number] += 1
            except OSError as error:
                self.failures[number] += 1
                self.words[number].value = f"{ask.__name__} {address}: {error}".encode()[:255]
            if self.pause:
                time.sleep(self.pause)

    def total(self, ask):
        return sum(count for (kind, _), count in zip(self.kinds, self.counts) if kind is ask)

    def stop(self):
        """What was counted, and what failed."""
        self.stopping.value = 1
        for client in self.clients:
            client.join(15)
            if client.is_alive():
                client.kill()
                self.failures[self.clients.index(client)] += 1
        for server in self.servers:
            server.kill()
        return {
            "tcpConnections": self.total(ask_tcp), "udpExchanges": self.total(ask_udp),
            "failed": sum(self.failures),
        }, [words.value.decode() for words in self.words if words.value]


# MARK: - System calls, ours and others'

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_TRACEME, PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_SETOPTIONS, PTRACE_GET_SYSCALL_INFO = 0, 17, 24, 0x4200, 0x420e
TRACE_OPTIONS = 1 | 8 | 0x100000  # TRACESYSGOOD, TRACECLONE, EXITKILL
WALL = 0x40000000
NUMBERS = {"x86_64": {"statfs": 137, "bpf": 321}, "aarch64": {"statfs": 43, "bpf": 280}}[platform.machine()]
kept = {}


def address_of(data):
    kept["bytes"] = ctypes.create_string_buffer(data)
    return ctypes.addressof(kept["bytes"])


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(NUMBERS["bpf"], command, ctypes.byref(buffer), 128)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result, buffer.raw


OBJ_GET, PROG_GET_NEXT_ID, PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD = 7, 11, 13, 15


@contextlib.contextmanager
def opened(command, *attributes):
    descriptor, _ = bpf(command, struct.pack("=QIII" if command == OBJ_GET else "=IIII", *attributes))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def information(descriptor, size, asked=b""):
    """What the kernel tells of an object."""
    buffer = ctypes.create_string_buffer(bytes(asked), size)
    bpf(OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", descriptor, size, ctypes.addressof(buffer)))
    return buffer.raw


def next_program(number):
    try:
        return struct.unpack_from("=4xI", bpf(PROG_GET_NEXT_ID, struct.pack("=III", number, 0, 0))[1])[0]
    except FileNotFoundError:
        return None


class Ended(Exception):
    """A command came to its end before the stop where it was to be held."""


class Traced:
    """A command that stops before and after each system call."""

    def __init__(self, command, output=os.devnull):
        self.command, self.seen = command, 0
        self.threads = set()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
                libc.ptrace(PTRACE_TRACEME, 0, None, None)
                os.kill(os.getpid(), signal.SIGSTOP)
                os.execv(command[0], command)
            finally:
                os._exit(127)
        os.waitpid(self.pid, 0)
        ptrace(PTRACE_SETOPTIONS, self.pid, TRACE_OPTIONS)
        self.stopped, self.signal = self.pid, 0

    def advance(self):
        """To the next stop before or after a system call."""
        while True:
            ptrace(PTRACE_SYSCALL, self.stopped, self.signal)
            while True:
                self.stopped, status = os.waitpid(-1, WALL)
                if os.WIFSTOPPED(status):
                    break
                if self.stopped == self.pid:
                    raise Ended(status)
            number = os.WSTOPSIG(status)
            if number == signal.SIGTRAP | 0x80:
                self.signal = 0
                self.seen += 1
                return
            self.signal = 0 if number in (signal.SIGTRAP, signal.SIGSTOP) else number

    def advance_to(self, stop):
        while self.seen < stop:
            self.advance()

    def system_call(self):
        """The number of the system call that it is about to make; None after one."""
        information = ctypes.create_string_buffer(88)
        libc.ptrace(PTRACE_GET_SYSCALL_INFO, self.stopped, 88, information)
        return struct.unpack_from("=Q", information, 24)[0] if information.raw[0] == 1 else None

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        while True:
            try:
                dead, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                return
            if dead == self.pid and not os.WIFSTOPPED(status):
                return

    def let_go(self):
        """Its exit code, when it has run to its end."""
        ptrace(PTRACE_DETACH, self.stopped, self.signal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def count_stops(command):
    """Runs a command to its end: its stops, and the first that has to do with the BPF file system."""
    traced, first = Traced(command), None
    while True:
        try:
            traced.advance()
        except Ended as end:
            if os.waitstatus_to_exitcode(end.args[0]) != 0:
                raise Failed(f"{' '.join(command[1:])} fails by itself") from None
            return first, traced.seen
        if first is None and traced.system_call() == NUMBERS["statfs"]:
            first = traced.seen


def kill_at(command, stop):
    """Runs a command and kills it at its n-th stop. False: it ended before."""
    traced = Traced(command)
    try:
        traced.advance_to(stop)
    except Ended as end:
        code = os.waitstatus_to_exitcode(end.args[0])
        if code != 0:
            raise Failed(f"{' '.join(command[1:])} exited with {code} by itself") from None
        return False
    traced.kill()
    return True


def run_in_lab(run, options):
    """Runs a harness in a lab of its own, and finishes: `run(lab, options, problems)` gives its result."""
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


def finish(result, problems):
    """Prints the line of JSON and exits."""
    print(json.dumps({**result, "problems": problems}))
    sys.exit(1 if problems else 0)
