"""Descriptors of all kinds that one process can send another. Each maker returns numbers, which the caller closes.

Kinds that the kernel lacks, or that the user may not create, raise OSError."""
import ctypes
import os
import select
import socket
import struct
import time

libc = ctypes.CDLL(None, use_errno=True)
# The numbers of system calls that Python does not have, of x86-64 and of the architectures after it.
NUMBERS = {"userfaultfd": (323, 282), "timerfd_create": (283, 85), "signalfd4": (289, 74), "inotify_init1": (294, 26),
           "fanotify_init": (300, 262), "perf_event_open": (298, 241), "bpf": (321, 280), "io_uring_setup": (425, 425)}
FOR_HOURS = struct.pack("ii", 1, 3600)


def call(name, *arguments):
    result = libc.syscall(NUMBERS[name][os.uname().machine != "x86_64"], *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def detached(*objects):
    """Returns duplicates of the descriptors of sockets or other objects, and closes the objects."""
    numbers = [os.dup(each.fileno()) for each in objects]
    for each in objects:
        each.close()
    return numbers


# MARK: - No sockets

def perf_event():
    attributes = ctypes.create_string_buffer(struct.pack("IIQ", 1, 128, 0), 128)
    return [call("perf_event_open", attributes, 0, -1, -1, 0)]


def bpf_map():
    attributes = ctypes.create_string_buffer(struct.pack("IIII", 2, 4, 4, 1), 128)
    return [call("bpf", 0, attributes, 128)]


def bpf_program():
    instructions = ctypes.create_string_buffer(struct.pack("QQ", 0xb7, 0x95))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = ctypes.create_string_buffer(
        struct.pack("IIQQ", 1, 2, ctypes.addressof(instructions), ctypes.addressof(licence)), 128)
    return [call("bpf", 5, attributes, 128)]


def watching_epoll():
    """Returns two epoll instances, one of which watches the other, which watches a pipe."""
    reading, writing = os.pipe()
    first, second = select.epoll(), select.epoll()
    first.register(reading)
    second.register(first.fileno())
    os.write(writing, b"x")
    return detached(first, second) + [reading, writing]


def flagged(path, flags):
    return lambda: [os.open(path, flags)]


OTHERS = {
    "io_uring": lambda: [call("io_uring_setup", 8, ctypes.create_string_buffer(120))],
    "epoll": watching_epoll, "memfd": lambda: [os.memfd_create("x")], "pidfd": lambda: [os.pidfd_open(os.getpid())],
    "userfaultfd": lambda: [call("userfaultfd", 0)], "eventfd": lambda: [os.eventfd(0)],
    "timerfd": lambda: [call("timerfd_create", 1, 0)],
    "signalfd": lambda: [call("signalfd4", -1, ctypes.create_string_buffer(8), 8, 0)],
    "inotify": lambda: [call("inotify_init1", 0)], "fanotify": lambda: [call("fanotify_init", 0, 0)],
    "perf event": perf_event, "BPF map": bpf_map, "BPF program": bpf_program, "pty": lambda: list(os.openpty()),
    "pipe": lambda: list(os.pipe()), "/dev/null": flagged("/dev/null", os.O_RDWR),
    "/dev/zero": flagged("/dev/zero", os.O_RDWR), "/dev/fuse": flagged("/dev/fuse", os.O_RDWR),
    "directory": flagged("/", os.O_RDONLY), "O_PATH": flagged("/", os.O_PATH),
    "/proc file": flagged("/proc/self/status", os.O_RDONLY), "namespace": flagged("/proc/self/ns/net", os.O_RDONLY),
}


# MARK: - Sockets

def of(*arguments, bound=None):
    def make():
        made = socket.socket(*arguments)
        if bound:
            made.bind(bound)
        return detached(made)
    return make


def unix_listener():
    made = socket.socket(socket.AF_UNIX)
    made.bind(b"")
    made.listen()
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(made.getsockname())
    waiting.send(b"x")
    return detached(made, waiting)


def unix_with(make):
    """Returns a maker of a connected pair with descriptors in its queue."""
    def make_pair():
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        queued = make()
        socket.send_fds(one, [b"x"], queued)
        for number in queued:
            os.close(number)
        return detached(one, other)
    return make_pair


def unix_cycle():
    """Returns a connected pair; each socket is in the other's queue and in its own."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for sender in one, other:
        socket.send_fds(sender, [b"x"], [one.fileno(), other.fileno()])
    return detached(one, other)


class Sink:
    """A listener that never accepts or reads."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1024)

    def connect(self, client, fill=True):
        client.connect(self.listener.getsockname())
        client.setblocking(False)
        if fill:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            try:
                while True:
                    client.send(bytes(4096))
            except BlockingIOError:
                pass


def tcp(state, linger):
    def make():
        sink, made = Sink(), socket.socket()
        others = [sink.listener]
        if state == "listening":
            made.bind(("127.0.0.1", 0))
            made.listen()
        elif state == "bound":
            made.bind(("127.0.0.1", 0))
        elif state == "with unsent data":
            sink.connect(made)
        elif state == "fin-wait":
            sink.connect(made)
            made.shutdown(socket.SHUT_WR)
        elif state == "close-wait":
            sink.connect(made, fill=False)
            accepted, _ = sink.listener.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            accepted.shutdown(socket.SHUT_WR)
            try:
                while True:
                    made.send(bytes(4096))
            except BlockingIOError:
                pass
            others.append(accepted)
        elif state == "syn-sent":
            full = socket.socket()
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            waiting = [socket.socket() for _ in range(3)]
            for each in waiting + [made]:
                each.setblocking(False)
                each.connect_ex(full.getsockname())
            others += [full, *waiting]
        elif state == "reset":
            sink.connect(made, fill=False)
            accepted, _ = sink.listener.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
        if linger is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, linger))
        # The other end stays with whoever has made this: it would be reset.
        KEPT.append(others)
        del KEPT[:-256]
        return detached(made)
    return make


KEPT = []


def turned_after(register):
    """Registers a listener, and turns it into a connection with unsent data once it is held."""
    made, sink = socket.socket(), Sink()
    made.bind(("127.0.0.1", 0))
    made.listen()
    register([made.fileno()])
    made.shutdown(socket.SHUT_RDWR)
    sink.connect(made)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, FOR_HOURS)
    KEPT.append([sink.listener])
    del KEPT[:-256]
    made.close()


def udp(state):
    def make():
        made = socket.socket(type=socket.SOCK_DGRAM)
        if state != "unbound":
            made.bind(("127.0.0.1", 0))
        if state == "connected":
            made.connect(("127.0.0.1", 9))
        if state == "full":
            for _ in range(300):
                made.sendto(bytes(1000), made.getsockname())
        if state == "corked":
            made.setsockopt(socket.IPPROTO_UDP, 1, 1)
            made.sendto(bytes(1000), ("127.0.0.1", 9))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, FOR_HOURS)
        return detached(made)
    return make


TCP_STATES = ("listening", "bound", "with unsent data", "fin-wait", "close-wait", "syn-sent", "reset", "closed")
SOCKETS = {
    **{f"TCP {state}, linger {linger}": tcp(state, linger) for state in TCP_STATES for linger in (None, 0, 3600)},
    **{f"UDP {state}": udp(state) for state in ("bound", "unbound", "connected", "full", "corked")},
    "UDP-Lite": of(socket.AF_INET, socket.SOCK_DGRAM, 136, bound=("127.0.0.1", 0)),
    "MPTCP": of(socket.AF_INET, socket.SOCK_STREAM, 262, bound=("127.0.0.1", 0)),
    "SCTP": of(socket.AF_INET, socket.SOCK_STREAM, 132), "raw": of(socket.AF_INET, socket.SOCK_RAW, 1),
    "packet": of(socket.AF_PACKET, socket.SOCK_RAW, 0), "netlink": of(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "vsock": of(40, socket.SOCK_STREAM, 0), "AF_ALG": of(socket.AF_ALG, socket.SOCK_SEQPACKET, 0),
    "Unix listener": unix_listener, "Unix pair": lambda: detached(*socket.socketpair()), "Unix cycle": unix_cycle,
    "Unix pair with lingering TCP in it": unix_with(tcp("with unsent data", 3600)),
    "Unix pair with a Unix pair in it": unix_with(unix_with(OTHERS["memfd"])),
}


# MARK: - A file system in user space that never answers to close

class SilentFileSystem:
    """A FUSE file system with one file that anyone can open; close() blocks until the serving process ends, and so does
    whatever touches memory that is mapped to the file."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if libc.mount(b"fuse", folder.encode(), b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), f"no FUSE: {os.strerror(ctypes.get_errno())}")

    @staticmethod
    def attributes(node):
        mode = 0o40755 if node == 1 else 0o100666
        return struct.pack("QQQQQQIIIIIIIIII", node, 1 << 20, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def serve(self):
        lookup, getattr_, open_, release, init, opendir = 1, 3, 14, 18, 26, 27
        while True:
            try:
                request = os.read(self.device, 1 << 20)
            except OSError:
                return
            _, operation, unique, node = struct.unpack("IIQQ", request[:24])
            error, answer = 0, b""
            if operation == init:
                major, minor = struct.unpack("II", request[40:48])
                answer = struct.pack("IIIIHHIIHHI", 7, min(minor, 31), 65536, 0, 12, 9, 65536, 1, 0, 0, 0) + bytes(28)
            elif operation == lookup:
                answer = struct.pack("QQQQII", 2, 0, 60, 60, 0, 0) + self.attributes(2)
            elif operation == getattr_:
                answer = struct.pack("QII", 60, 0, 0) + self.attributes(node)
            elif operation in (open_, opendir):
                answer = struct.pack("QII", 1, 0, 0)
            elif operation != release:
                continue  # Nothing else is answered, and above all no FLUSH and no READ.
            os.write(self.device, struct.pack("IiQ", 16 + len(answer), error, unique) + answer)


# MARK: - Sockets whose lock is held

def registrable(protocol):
    """Returns a socket that can be registered."""
    made = socket.socket(type=socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    if protocol == "tcp":
        made.listen()
    return made


def hold_lock(made, path):
    """Holds the lock of a socket until this process ends, by a call that copies from a silent file while it has the lock.

    The call is made by another process: the memory of this one must stay usable."""
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    holder = os.fork()
    if holder == 0:
        try:
            libc.prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
            file = os.open(path, os.O_RDONLY)
            memory = ctypes.c_void_p(libc.mmap(None, 1 << 16, 1, 1, file, 0))  # PROT_READ, MAP_SHARED
            if made.type == socket.SOCK_DGRAM:
                address = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(9), socket.inet_aton("127.0.0.1"))
                libc.sendto(made.fileno(), memory, 1000, 0x8000, address, 16)  # MSG_MORE
            else:
                libc.setsockopt(made.fileno(), socket.IPPROTO_IP, socket.IP_OPTIONS, memory, 8)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        with open(f"/proc/{holder}/wchan") as place:
            # Waits for the file system, or for a process that reads the same page.
            if place.read().startswith(("request_wait_answer", "folio_wait", "wait_on_page", "__lock_page")):
                break
        time.sleep(0.01)
