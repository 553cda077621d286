"""Prints the records that another name server reads from a zone file, one per line: owner, TTL, type, data in hexadecimal.

readings.py bind|knot|nsd ZONE-FILE FOLDER    the zone is example.com; the folder is for the server's own files
"""

import socket
import struct
import subprocess
import sys
import time

ZONE = b"\x07example\x03com\x00"
# The bytes before the names in the data of types in which names may be compressed, and the number of names.
NAMES = {2: (0, 1), 5: (0, 1), 6: (0, 2), 7: (0, 1), 8: (0, 1), 9: (0, 1), 12: (0, 1), 14: (0, 2), 15: (2, 1),
         17: (0, 2), 18: (2, 1), 21: (2, 1), 26: (2, 2), 33: (6, 1), 36: (2, 1), 39: (0, 1)}


def name(message, position):
    """Returns an uncompressed name, and the position after it."""
    wire = b""
    while message[position]:
        if message[position] >= 0xC0:
            pointer = struct.unpack_from(">H", message, position)[0] & 0x3FFF
            return wire + name(message, pointer)[0], position + 2
        wire += message[position:position + message[position] + 1]
        position += message[position] + 1
    return wire + b"\0", position + 1


def data(message, position, length, kind):
    skipped, count = NAMES.get(kind, (0, 0))
    wire, rest = message[position:position + skipped], position + skipped
    for _ in range(count):
        part, rest = name(message, rest)
        wire += part
    return wire + message[rest:position + length]


def show(owner, ttl, kind, wire):
    print(owner.hex(), ttl, kind, wire.hex() or "-")


def transfer(port):
    """Prints the zone that a server transfers."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    query = struct.pack(">6H", 1, 0, 1, 0, 0, 0) + ZONE + struct.pack(">2H", 252, 1)
    connection.sendall(struct.pack(">H", len(query)) + query)
    stream, authorities = connection.makefile("rb"), 0
    while authorities < 2:
        message = stream.read(struct.unpack(">H", stream.read(2))[0])
        if message[3] & 15:
            raise ConnectionError("the transfer is refused")
        position = 12
        for _ in range(struct.unpack_from(">H", message, 4)[0]):
            position = name(message, position)[1] + 4
        for _ in range(struct.unpack_from(">H", message, 6)[0]):
            owner, position = name(message, position)
            kind, _, ttl, length = struct.unpack_from(">HHIH", message, position)
            position += 10
            authorities += kind == 6
            if authorities < 2:
                show(owner, ttl, kind, data(message, position, length, kind))
            position += length


def served(command, log):
    """Starts a server, prints its zone once it serves it, and ends it."""
    with open(log, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        for _ in range(200):
            try:
                return transfer(port)
            except (OSError, struct.error):
                if process.poll() is not None:
                    break
                time.sleep(0.1)
        sys.exit(open(log).read())
    finally:
        process.terminate()
        process.wait()


def raw(path):
    """Prints the records of a file in BIND's raw format."""
    content = open(path, "rb").read()
    position = 24
    while position < len(content):
        size, _, kind, _, ttl, count, length = struct.unpack_from(">IHHHIIH", content, position)
        owner, next_set = content[position + 20:position + 20 + length], position + size
        position += 20 + length
        for _ in range(count):
            length, = struct.unpack_from(">H", content, position)
            show(owner, ttl, kind, content[position + 2:position + 2 + length])
            position += 2 + length
        assert position == next_set


server, zone, folder = sys.argv[1:]
# Below what the kernel chooses for clients.
port = 10_001 + (int(time.time() * 1000) + len(server)) % 20_000
if server == "bind":
    checked = subprocess.run(["named-compilezone", "-i", "none", "-k", "ignore", "-F", "raw", "-o", f"{folder}/raw",
                              "example.com", zone], capture_output=True, text=True)
    if checked.returncode:
        sys.exit(checked.stdout + checked.stderr)
    raw(f"{folder}/raw")
elif server == "knot":
    with open(f"{folder}/knot.conf", "w") as configuration:
        configuration.write(f"""
server:
    listen: 127.0.0.1@{port}
    rundir: {folder}
database:
    storage: {folder}
log:
  - target: stderr
    any: info
acl:
  - id: everybody
    action: transfer
zone:
  - domain: example.com
    file: {zone}
    zonefile-load: whole
    journal-content: none
    semantic-checks: off
    acl: everybody
""")
    served(["/usr/sbin/knotd", "-c", f"{folder}/knot.conf"], f"{folder}/knot.log")
else:
    with open(f"{folder}/nsd.conf", "w") as configuration:
        configuration.write(f"""
server:
    ip-address: 127.0.0.1@{port}
    username: ""
    zonesdir: {folder}
    database: ""
    pidfile: ""
    zonelistfile: {folder}/nsd.list
    xfrdfile: {folder}/nsd.xfrd
    xfrdir: {folder}
    cookie-secret-file: ""
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: example.com
    zonefile: {zone}
    provide-xfr: 127.0.0.1 NOKEY
""")
    served(["/usr/sbin/nsd", "-d", "-c", f"{folder}/nsd.conf"], f"{folder}/nsd.log")
