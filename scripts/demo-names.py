#!/usr/bin/env python3
"""The demo's client for names: resolves random names with dig, and connects to each answer.

Knows nothing of steering. Prints how the answers spread over the pool, and fails if one is outside the pool or does
not accept connections.
"""
import argparse
import collections
import ipaddress
import os
import random
import socket
import subprocess
import sys


def resolve(server, names, kind):
    """Resolves all names with one dig, which uses a socket per query, as different resolvers would."""
    batch = "".join(f"{name} {kind} +noall +answer\n" for name in names)
    options = ["dig", f"@{server}", "+time=5", "+tries=2", "-f", "-"]
    lines = subprocess.run(options, input=batch, capture_output=True, text=True, check=True).stdout.splitlines()
    answers = (line.split() for line in lines if line and not line.startswith(";"))
    return [(words[0].rstrip("."), ipaddress.ip_address(words[4])) for words in answers if words[3] == kind]


def echoes(address, port):
    token = os.urandom(16)
    with socket.create_connection((str(address), port), timeout=5) as client:
        client.sendall(token)
        heard = b""
        while len(heard) < len(token) and (part := client.recv(64)):
            heard += part
        return heard == token and client.getpeername()[0] == str(address)


def attempt(address, port):
    try:
        return echoes(address, port)
    except OSError:
        return False


def spread(addresses, pool):
    """Returns how many answers fell into each sixteenth of a pool, as a row of counts."""
    width = pool.num_addresses // 16
    counts = collections.Counter((int(address) - int(pool.network_address)) // width for address in addresses)
    return " ".join(f"{counts[part]:>3}" for part in range(16))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--pools", nargs=2, type=ipaddress.ip_network, required=True, help="IPv4, IPv6")
    parser.add_argument("--port", type=int, default=7)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    failures = 0
    names = [f"{random.randbytes(5).hex()}.example.com" for _ in range(options.count // 2)]
    print(f"{2 * len(names)} answers for random names, a connection to each:")
    for pool, kind in zip(options.pools, ("A", "AAAA")):
        answers = resolve(options.server, names, kind)
        own = sum(address in pool for _, address in answers)
        reached = sum(attempt(address, options.port) for _, address in answers)
        different = len({address for _, address in answers})
        print(f"  {kind:<4} {own} of {len(names)} are from {pool}, {different} different; {reached} connections answered")
        print(f"       by sixteenths of the pool: {spread([address for _, address in answers], pool)}")
        failures += (len(names) - own) + (len(names) - reached)
    print("\nsome checks failed" if failures else "\nall checks passed")
    sys.exit(1 if failures else 0)


main()
