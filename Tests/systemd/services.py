"""Programs that run in the machine, and clients on this side."""
import os
import socket
import struct

# Hands its listener over to steerd for the label that it is told, and serves; with `once` it ends instead.
REGISTERING = """
import os, socket, sys
label, word = sys.argv[1], sys.argv[2]
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
steerd = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
steerd.connect("/run/steerd.sock")
socket.send_fds(steerd, [f"steering/1 register {label} replacing".encode()], [listener.fileno()])
answer = steerd.recv(1 << 18).decode()
print(answer, flush=True)
if not answer.startswith("ok"): sys.exit(1)
if word == "once": sys.exit(0)
while True:
    connection, _ = listener.accept()
    connection.sendall(word.encode()), connection.close()
"""

# Takes back what steerd holds for the label, and answers one connection.
CLAIMING = """
import socket, sys
steerd = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
steerd.connect("/run/steerd.sock")
steerd.send(f"steering/1 claim {sys.argv[1]}".encode())
answer, descriptors, *_ = socket.recv_fds(steerd, 1 << 18, 253)
if not answer.startswith(b"ok"): sys.exit(answer.decode())
listener = socket.socket(fileno=descriptors[0])
listener.settimeout(20)
connection, _ = listener.accept()
connection.sendall(sys.argv[2].encode()), connection.close()
"""

# Asks steerd for the sockets of a label: exit code 0 if it may.
LISTING = """
import socket, sys
steerd = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
steerd.connect("/run/steerd.sock")
steerd.send(f"steering/1 list {sys.argv[1]}".encode())
answer = steerd.recv(1 << 18).decode()
print(answer)
sys.exit(not answer.startswith("ok"))
"""

# Listens after a while, and knows nothing of steerd.
ORDINARY = """
import socket, sys, time
time.sleep(float(sys.argv[1]))
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
while True:
    connection, _ = listener.accept()
    connection.sendall(b"ordinary"), connection.close()
"""

# Is started by steerd: says who and where it is.
STARTED = """
import os, socket
listener = socket.socket(fileno=3)
mask = os.umask(0o22)
while True:
    connection, _ = listener.accept()
    names = sorted(name for name in os.environ if not name.startswith("LISTEN_"))
    values = [os.environ.get(name, "-") for name in ("HOME", "USER", "LOGNAME")]
    connection.sendall(" ".join([str(os.getpid()), str(os.getuid()), os.getcwd(), oct(mask), *values, *names]).encode())
    connection.close()
"""


def ask(address, port, timeout=5):
    """Connects, and returns the answer; "refused" if the connection is refused, "reset" if it is reset before an answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        try:
            client.connect((address, port))
            return client.recv(4096).decode()
        except ConnectionRefusedError:
            return "refused"
        except ConnectionResetError:
            return "reset"


def http(address, port, path):
    with socket.create_connection((address, port), timeout=5) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        text = b""
        while part := client.recv(1 << 16):
            text += part
    return text.decode()


def dns(address, name, kind, transport, timeout=5):
    """Queries a DNS server; returns the addresses in the answer, and the address that it came from."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    code = {"A": 1, "AAAA": 28}[kind]
    identifier = os.urandom(2)
    query = identifier + struct.pack("!HHHHH", 0, 1, 0, 0, 0) + labels + struct.pack("!HH", code, 1)
    with socket.socket(family, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        if transport == "udp":
            client.sendto(query, (address, 53))
            answer, sender = client.recvfrom(4096)
        else:
            client.connect((address, 53))
            client.sendall(struct.pack("!H", len(query)) + query)
            stream = client.makefile("rb")
            answer = stream.read(struct.unpack("!H", stream.read(2))[0])
            sender = client.getpeername()
    assert answer[:2] == identifier, "another query's answer"
    found, place = [], 12 + len(labels) + 4
    for _ in range(struct.unpack("!H", answer[6:8])[0]):
        # The owner is a pointer to the question's name, or the name itself.
        place += 2 if answer[place] >= 0xC0 else len(labels)
        kind_found, _, _, size = struct.unpack("!HHIH", answer[place:place + 10])
        if kind_found == code:
            data = answer[place + 10:place + 10 + size]
            found.append(socket.inet_ntop(socket.AF_INET if code == 1 else socket.AF_INET6, data))
        place += 10 + size
    return found, sender[0]
