"""The only program that scripts/kernels runs in a guest: tests steering on its kernel, with each set of capabilities.

Prints `ok CHECK` or `not ok CHECK: why`, then `# measured JSON` for the table, then `# end`.
"""
import contextlib
import ctypes
import glob
import json
import os
import platform
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import time
import traceback

STEER, STEERD = os.environ.get("STEER", "/usr/bin/steer"), os.environ.get("STEERD", "/usr/bin/steerd")
CAPABILITIES = {"chown": 0, "net_admin": 12, "perfmon": 38, "bpf": 39}
UNITS = ["bpf", "net_admin", "perfmon", "chown"]
SETS = {"root": None, "units": UNITS, "without": [name for name in UNITS if name != "perfmon"]}
PREFIXES = {4: "192.0.2.0/24", 6: "2001:db8:7::/48"}
STEERED = {4: "192.0.2.77", 6: "2001:db8:7:1234::77"}
SOURCES = {4: ("198.51.100.7", "203.0.113.7"), 6: ("2001:db8:ffff::7", "2001:db8:eeee::7")}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
FLOWS = [(transport, family) for transport in TYPES for family in FAMILIES]
VERSION = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
ONLY = (re.findall(r"steering\.only=(\S+)", open("/proc/cmdline").read()) or [""])[0].replace("_", " ")
PATIENCE = 20  # Processors are emulated.

libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    pass


def verify(condition, otherwise):
    if not condition:
        raise Failed(otherwise)


def check(name):
    """Runs the decorated check in a process and namespaces of its own, and prints the result."""
    def decorate(body):
        if ONLY and not name.endswith("load") and not re.search(ONLY, name):
            return None
        begun = time.monotonic()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(read)
                signal.alarm(120)
                os.setpgid(0, 0)
                new_namespaces()
                answer = {"result": body()}
            except Failed as error:
                answer = {"error": str(error)}
            except BaseException:
                answer = {"error": " | ".join(traceback.format_exc().strip().split("\n")[-3:])}
            os.write(write, json.dumps(answer).encode())
            os._exit(0)
        os.close(write)
        text = b""
        while part := os.read(read, 1 << 16):
            text += part
        os.close(read)
        os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        answer = json.loads(text) if text else {"error": "it timed out"}
        seconds = f"{time.monotonic() - begun:.1f} s"
        print(f"not ok {name}: {' '.join(answer['error'].split())}" if "error" in answer else f"ok {name} ({seconds})",
              flush=True)
        return answer.get("result")
    return decorate


def new_namespaces():
    """Creates a network and a BPF file system, which end with the process."""
    if libc.unshare(0x40000000 | 0x00020000):
        raise OSError(ctypes.get_errno(), "unshare")
    for command in ("mount -t bpf -o mode=0711 bpf /sys/fs/bpf", "ip link set lo up", "ip link add other0 type veth peer name other1",
                    "ip link set other0 up", f"ip route add local {PREFIXES[4]} dev lo",
                    f"ip -6 route add local {PREFIXES[6]} dev lo",
                    *(f"ip addr add {address}/32 dev lo" for address in SOURCES[4]),
                    *(f"ip addr add {address}/128 dev lo nodad" for address in SOURCES[6])):
        subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)


def limited(capabilities, user=0):
    """Returns a preexec_fn that limits a child to these capabilities, as the units do."""
    def limit():
        if capabilities is not None:
            kept = {CAPABILITIES[name] for name in capabilities}
            for number in range(64):
                if number not in kept:
                    libc.prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP
        if user:
            os.setgid(user)
            os.setuid(user)
    return limit


class Steer:
    """The command, with one of the sets of capabilities."""

    def __init__(self, name):
        self.limit = limited(SETS[name])

    def begin(self, *words, **options):
        return subprocess.Popen([STEER, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=self.limit, **options)

    def attempt(self, *words, **options):
        running = self.begin(*words, **options)
        output, complaint = running.communicate(timeout=120)
        return running.returncode, output, complaint.strip()

    def __call__(self, *words, **options):
        code, output, complaint = self.attempt(*words, **options)
        verify(code == 0, f"steer {' '.join(map(str, words))}: exit code {code}: {complaint}")
        return output

    def refused(self, sentence, *words):
        code, _, complaint = self.attempt(*words)
        verify(code == 1 and sentence in complaint, f"steer {' '.join(map(str, words))}: {code}, {complaint!r}; "
               f"expected: {sentence}")

    def apply(self, *bindings, labels=None):
        path = f"/run/policy-{os.getpid()}.json"
        with open(path, "w") as file:
            json.dump({"bindings": list(bindings), **({"labels": labels} if labels else {})}, file)
        self("apply", path)
        return path

    def register(self, label, sockets):
        """Registers by $LISTEN_FDS, which needs no rights over another process."""
        def limit():
            for number, each in enumerate(sockets):
                os.dup2(each.fileno(), 200 + number)
            for number in range(len(sockets)):
                os.dup2(200 + number, 3 + number)
            self.limit()
        command = ["/bin/busybox", "sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh", STEER, "register", label]
        done = subprocess.run(command, env={**os.environ, "LISTEN_FDS": str(len(sockets))}, text=True, close_fds=False,
                              capture_output=True, preexec_fn=limit)
        verify(done.returncode == 0, f"steer register {label}: {done.stderr.strip()}")


def binding(label=None, ports="all", **more):
    return {**({"label": label} if label else {}), "protocols": "tcp+udp", "prefixes": list(PREFIXES.values()),
            "ports": ports, **more}


def server(transport, family):
    made = socket.socket(FAMILIES[family], TYPES[transport])
    if family == 6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((LOOPBACK[family], 0))
    if transport == "tcp":
        made.listen(4096)
    made.settimeout(PATIENCE)
    return made


def send(transport, family, port, source=None):
    """Returns a connected client; raises ConnectionRefusedError if nobody listens."""
    client = socket.socket(FAMILIES[family], TYPES[transport])
    client.settimeout(PATIENCE)
    if source:
        client.bind((source, 0))
    client.connect((STEERED[family], port))
    if transport == "udp":
        client.send(b"question")
    return client


def delivered(servers, transport, family, port, source=None):
    with send(transport, family, port, source) as client:
        listener = servers[transport, family]
        if transport == "tcp":
            connection, peer = listener.accept()
            with connection:
                verify(connection.getsockname()[:2] == (STEERED[family], port), f"accepted at {connection.getsockname()}")
        else:
            data, peer = listener.recvfrom(100)
            verify(data == b"question", f"received {data}")
        verify(peer[:2] == client.getsockname()[:2], f"from {peer} instead of {client.getsockname()}")


def refused(transport, family, port, source=None):
    try:
        with send(transport, family, port, source) as client:
            if transport == "udp":
                client.recv(100)
    except ConnectionRefusedError:
        return
    raise Failed(f"{transport} to port {port} over IPv{family} from {source} was not refused")


@contextlib.contextmanager
def serving(steer, label="web"):
    """Registers a socket of each kind."""
    servers = {flow: server(*flow) for flow in FLOWS}
    steer.register(label, list(servers.values()))
    yield servers
    for each in servers.values():
        each.close()


# The kernel's word on the loaded program. See bpf(2).

def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(321, command, ctypes.byref(buffer), 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf({command})")
    return result


def program():
    """Returns the loaded program's size in bytes of machine code, and the number of verified instructions (Linux 5.16)."""
    [pin] = glob.glob("/sys/fs/bpf/steering/*/program")
    path = ctypes.create_string_buffer(pin.encode())
    descriptor = bpf(7, struct.pack("=QII", ctypes.addressof(path), 0, 0))
    info = ctypes.create_string_buffer(232)
    bpf(15, struct.pack("=IIQ", descriptor, len(info), ctypes.addressof(info)))
    os.close(descriptor)
    return struct.unpack_from("=I", info, 16)[0], struct.unpack_from("=I", info, 216)[0]


# The suite

def run(name):
    steer = Steer(name)
    since = VERSION.__ge__

    @check(f"{name}: load")
    def loads():
        code, _, complaint = steer.attempt("load")
        if code:
            # Linux before 5.17 needs CAP_PERFMON; the error says so, and the verifier's log follows.
            verify(name == "without" and not since((5, 17)), complaint)
            verify("grant CAP_PERFMON" in complaint and "\n  verifier: " in complaint, complaint)
            verify(not glob.glob("/sys/fs/bpf/steering/*/*"), "a steering is loaded")
            return {"loaded": False}
        size, verified = program()
        steer("status")
        steer("unload")
        return {"loaded": True, "bytes": size, "verified": verified}

    if not loads or not loads["loaded"]:
        return loads or {"loaded": False}

    @check(f"{name}: TCP and UDP over IPv4 and IPv6, single ports, a range, refused, unloaded")
    def traffic():
        steer("load")
        with serving(steer) as servers:
            steer.apply(binding("web", "80,8000-8099"), binding(ports=81, outcome="refuse"))
            for flow in FLOWS:
                for port in (80, 8000, 8050, 8099):
                    delivered(servers, *flow, port)
                for port in (79, 81, 7999, 8100):
                    refused(*flow, port)
            steer.apply(binding("web", "all"))  # As tries over the port, and as rows.
            for flow in FLOWS:
                delivered(servers, *flow, 31337)
            steer("unload")
            for flow in FLOWS:
                refused(*flow, 80)

    @check(f"{name}: by source")
    def source():
        steer("load")
        with serving(steer) as servers:
            steer.apply(binding("web", 80, **{"from": ["198.51.100.0/24", "2001:db8:ffff::/64"]}),
                        binding(ports=80, outcome="refuse", **{"from": ["198.51.100.99/32", "2001:db8:ffff::99/128"]}))
            for flow in FLOWS:
                inside, outside = SOURCES[flow[1]]
                delivered(servers, *flow, 80, inside)
                refused(*flow, 80, outside)

    @check(f"{name}: by interface" if since((5, 17)) else f"{name}: by interface is refused before Linux 5.17")
    def interface():
        steer("load")
        with serving(steer) as servers:
            if since((5, 17)):
                steer.apply(binding("web", 80, on="lo"), binding("web", 81, on="other0"))
                for flow in FLOWS:
                    delivered(servers, *flow, 80)
                    refused(*flow, 81)
                return
            steer.apply(binding("web", 80))
            code, _, complaint = steer.attempt("bind", "web", "tcp", PREFIXES[4], "81", "--on", "lo")
            verify(code == 1 and "Linux 5.17" in complaint, f"{code}: {complaint}")
            # What was in force still is, and changes go on.
            for flow in FLOWS:
                delivered(servers, *flow, 80)
            steer.apply(binding("web", 82))
            for flow in FLOWS:
                delivered(servers, *flow, 82)

    @check(f"{name}: explain agrees with the kernel")
    def explain():
        steer("load")
        with serving(steer) as servers:
            steer.apply(binding("web", "80,8000-8099"), binding(ports=81, outcome="refuse"),
                        binding("web", 82, **{"from": ["198.51.100.0/24", "2001:db8:ffff::/48"]}), binding("nobody", 83))
            for transport, family in FLOWS if name == "root" else FLOWS[1:3]:  # Every question is a process.
                for port, source, verdict in ((80, None, "delivered"), (8099, None, "delivered"), (81, None, "refused"),
                                              (82, SOURCES[family][0], "delivered"), (82, SOURCES[family][1], "refused"),
                                              (83, None, "refused"), (84, None, "refused")):
                    words = ["explain", transport, STEERED[family], port, "--json"]
                    if source:
                        words += ["--from", source]
                    told = json.loads(steer(*words))
                    verify(told["agrees"] and told["kernel"]["verdict"] == verdict,
                           f"{words}: {told['kernel']}, agrees: {told['agrees']}, {told['decision']}")
                    if verdict == "delivered":
                        cookie = struct.unpack("=Q", servers[transport, family].getsockopt(socket.SOL_SOCKET, 57, 8))[0]
                        verify(int(told["kernel"]["socket"]["cookie"], 16) == cookie, f"{words}: {told['kernel']}")

    @check(f"{name}: trace, and counters for each binding")
    def trace():
        steer("load")
        with serving(steer) as servers:
            steer.apply(binding("web", 80))
            tracing = steer.begin("trace", "--json", "--label", "web")
            for flow in FLOWS:
                # Until it has seen one: it takes a moment to attach.
                deadline = time.monotonic() + PATIENCE
                while True:
                    delivered(servers, *flow, 80, SOURCES[flow[1]][0])
                    if select.select([tracing.stdout], [], [], 0.2)[0]:
                        break
                    verify(time.monotonic() < deadline and tracing.poll() is None,
                           f"trace does not show {flow}: {tracing.poll()}")
                seen = json.loads(tracing.stdout.readline())
                # Of earlier flows there may be more.
                while seen["protocol"] != flow[0] or (":" in seen["source"].rsplit(":", 1)[0]) != (flow[1] == 6):
                    seen = json.loads(tracing.stdout.readline())
                verify(SOURCES[flow[1]][0] in seen["source"] and STEERED[flow[1]] in seen["destination"]
                       and seen["label"] == "web", f"{seen}")
                verify((seen.get("interface") == "lo") == since((5, 17)), f"{seen}")
            tracing.send_signal(signal.SIGINT)
            tracing.communicate(timeout=60)
            counting = steer.begin("metrics", "--per-binding", "--for", "3", "--json")
            while counting.poll() is None:
                for flow in FLOWS:
                    delivered(servers, *flow, 80)
            output, complaint = counting.communicate()
            verify(counting.returncode == 0 and re.search(r'"packets":[1-9]', output), f"{output} {complaint}")

    @check(f"{name}: upgrade under traffic" if since((5, 16)) else f"{name}: upgrade is refused before Linux 5.16")
    def upgrade():
        steer("load")
        with serving(steer) as servers:
            steer.apply(binding("web", 80))
            for _ in range(2):
                upgrading = steer.begin("upgrade")
                while upgrading.poll() is None:
                    for flow in FLOWS:
                        delivered(servers, *flow, 80)
                _, complaint = upgrading.communicate()
                if since((5, 16)):
                    verify(upgrading.returncode == 0, complaint)
                else:
                    verify(upgrading.returncode == 1 and "Linux 5.16" in complaint, complaint)
            for flow in FLOWS:
                delivered(servers, *flow, 80)
            steer("status")
            if name == "root":
                # The servers here do not answer UDP, of which the doctor warns.
                found, _ = steer.begin("doctor", "--json").communicate()
                verify(found and '"broken"' not in found, found)

    @check(f"{name}: tables grow" if since((6, 0)) else f"{name}: larger tables are refused before Linux 6.0")
    def growth():
        steer("load")
        with serving(steer) as servers:
            steer.apply(binding("web", 80))
            # Rows times classes of ports: beyond the smallest tables.
            many = [{"label": "far", "protocols": "tcp", "prefixes": f"10.0.{number >> 8}.{number & 255}/32",
                     "ports": 2000 + 2 * number} for number in range(600)]
            path = "/run/many.json"
            with open(path, "w") as file:
                json.dump({"bindings": [binding("web", 80), *many]}, file)
            if since((6, 0)):
                steer("apply", path)
                size = json.loads(steer("status", "--tables", "--json"))
                verify(max(value for value in size.values() if isinstance(value, int)) > 4 << 20, f"{size}")
            else:
                steer.refused("Linux 6.0", "apply", path)
            for flow in FLOWS:
                delivered(servers, *flow, 80)
            steer.apply(binding("web", 81))
            for flow in FLOWS:
                delivered(servers, *flow, 81)

    @check(f"{name}: steerd registers, holds, hands back, and is restarted")
    def steerd():
        path, log = "/run/steerd-policy.json", open("/run/steerd.log", "w+")
        with open(path, "w") as file:
            json.dump({"labels": {"web": {"allow": {"users": ["nobody"]}}}, "bindings": [binding("web", 80)]}, file)

        def logged():
            return open("/run/steerd.log").read()[-400:]

        def start():
            running = subprocess.Popen([STEERD, "--policy", path, "--socket", "/run/steerd.sock"], stderr=log, text=True,
                                       preexec_fn=steer.limit)
            deadline = time.monotonic() + PATIENCE * 2
            while running.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError), socket.socket(
                        socket.AF_UNIX, socket.SOCK_SEQPACKET) as steerd:
                    steerd.connect("/run/steerd.sock")
                    return running
                time.sleep(0.1)
            running.kill()
            raise Failed(f"steerd does not serve: {logged()}")

        def ask(request, sockets=(), user=65534):
            """Sends a request as another user, in a process of its own."""
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    limited([], user)()
                    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as steerd:
                        steerd.settimeout(PATIENCE)
                        steerd.connect("/run/steerd.sock")
                        socket.send_fds(steerd, [request.encode()], [each.fileno() for each in sockets])
                        answer, received, _, _ = socket.recv_fds(steerd, 1 << 16, 253)
                        os.write(write, answer.split(b"\n")[0])
                        taken = {}
                        for descriptor in received:
                            each = socket.socket(fileno=descriptor)
                            each.settimeout(PATIENCE)
                            kind = "tcp" if each.type == socket.SOCK_STREAM else "udp"
                            taken[kind, 6 if each.family == socket.AF_INET6 else 4] = each
                        if request.startswith("steering/1 claim"):
                            # A connection, and a datagram, that waited.
                            for flow in FLOWS:
                                if flow[0] == "tcp":
                                    taken[flow].accept()[0].close()
                                else:
                                    taken[flow].recv(100)
                            os.write(write, b" all waited")
                except BaseException as error:
                    os.write(write, repr(error).encode())
                os._exit(0)
            os.close(write)
            text = b""
            while part := os.read(read, 4096):
                text += part
            os.close(read)
            os.waitpid(child, 0)
            return text.decode()

        os.chmod("/run", 0o755)
        running = start()
        os.chmod("/run/steerd.sock", 0o666)
        servers = {flow: server(*flow) for flow in FLOWS}
        answer = ask("steering/1 register web replacing", servers.values())
        verify(answer.startswith("ok"), f"{answer}; {logged()}")
        answer = ask("steering/1 register web replacing", servers.values(), user=65533)
        verify(answer.startswith("error notAllowed") or "notAllowed" in answer, answer)
        for flow in FLOWS:
            delivered(servers, *flow, 80)
        # The service ends; what comes meanwhile waits for its successor.
        for each in servers.values():
            each.close()
        waiting = [send(*flow, 80) for flow in FLOWS]
        answer = ask("steering/1 claim web")
        verify(answer == "ok all waited", answer)
        for each in waiting:
            each.close()
        # Restarted, it takes over what is loaded, and the service registers anew.
        servers = {flow: server(*flow) for flow in FLOWS}
        answer = ask("steering/1 register web replacing", servers.values())
        verify(answer.startswith("ok"), f"{answer}; {logged()}")
        running.terminate()
        verify(running.wait(60) == 0, f"steerd ended with {running.returncode}")
        for flow in FLOWS:
            delivered(servers, *flow, 80)
        running = start()
        os.chmod("/run/steerd.sock", 0o666)
        for flow in FLOWS:
            delivered(servers, *flow, 80)
        answer = ask("steering/1 register web replacing", servers.values())
        verify(answer.startswith("ok"), f"{answer}; {logged()}")
        for flow in FLOWS:
            delivered(servers, *flow, 80)
        running.terminate()
        running.wait(60)

    return loads


def branches():
    """Returns what a version lacks, for the table; each item was found by a check above."""
    told = [((5, 14), "cookies of network namespaces"), ((5, 16), "`steer upgrade`"), ((5, 17), "bindings on an interface; loading without CAP_PERFMON"),
            ((6, 0), "tables beyond 4 MiB")]
    return [text for version, text in told if VERSION < version]


def main():
    # Before Linux 5.11 maps count as locked memory, of which a unit is given enough.
    if VERSION < (5, 11):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.environ["PATH"] = "/bin:/usr/bin"
    loads = {name: run(name) for name in SETS}

    @check("without CAP_BPF, the error names the missing capability")
    def missing():
        steer = Steer("units")
        steer.limit = limited(["net_admin", "perfmon"])
        steer.refused("CAP_BPF", "load")

    print("# measured " + json.dumps({"release": platform.release(), "loads": loads, "lacks": branches()}), flush=True)
    print("# end", flush=True)


main()
