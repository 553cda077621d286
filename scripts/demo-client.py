#!/usr/bin/env python3
"""The demo's client: knows nothing of steering, only addresses and ports.

Queries random addresses and ports over TCP and UDP, IPv4 and IPv6, and checks that each reply comes from
the exact address and port that was queried. Then holds connections open while the server's pool is halved.
"""
import argparse
import ipaddress
import os
import random
import signal
import socket
import sys
import time

POOLS = {4: ipaddress.ip_network("192.0.2.0/24"), 6: ipaddress.ip_network("2001:db8:7::/48")}
PORTS = [7] + list(range(7000, 8000))
TIMEOUT = 5.0
failures = []


def family(address):
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def draw(network):
    return network[random.randrange(network.num_addresses)], random.choice(PORTS)


def open_tcp(address, port):
    client = socket.socket(family(address), socket.SOCK_STREAM)
    client.settimeout(TIMEOUT)
    client.connect((str(address), port))
    return client


def ask_tcp(client, token):
    client.sendall(token)
    heard = b""
    while len(heard) < len(token):
        part = client.recv(4096)
        if not part:
            break
        heard += part
    return heard == token


def tcp(address, port):
    with open_tcp(address, port) as client:
        peer = client.getpeername()[:2]
        return ask_tcp(client, os.urandom(32)) and (ipaddress.ip_address(peer[0]), peer[1]) == (address, port)


def udp(address, port):
    # Not connected: the kernel would filter out a reply from another address.
    with socket.socket(family(address), socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT)
        token = os.urandom(32)
        client.sendto(token, (str(address), port))
        heard, source = client.recvfrom(4096)
        return heard == token and (ipaddress.ip_address(source[0]), source[1]) == (address, port)


def refused_udp(address, port):
    # The kernel refuses by ICMP, which it rate-limits: retry.
    with socket.socket(family(address), socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT / 10)
        client.connect((str(address), port))
        for _ in range(10):
            client.send(b"anyone?")
            try:
                return client.recv(4096) == b""
            except TimeoutError:
                pass
        raise TimeoutError("silence")


def attempt(ask, *arguments):
    try:
        return "answered" if ask(*arguments) else "wrong"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return f"failed ({error})"


def tally(name, wanted, asks):
    outcomes = [attempt(*ask) for ask in asks]
    right = outcomes.count(wanted)
    print(f"  {name:<52} {right:>5} of {len(asks)} {wanted}")
    if right != len(asks):
        other = sorted(set(outcomes) - {wanted})
        failures.append(f"{name}: {len(asks) - right} not {wanted}: {', '.join(other[:3])}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--pool-file", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--count", type=int, default=1000, help="random addresses and ports of each kind")
    options = parser.parse_args()
    random.seed()

    print("random addresses and ports, replies from the queried address and port:")
    for version, network in POOLS.items():
        for name, ask in (("TCP", tcp), ("UDP", udp)):
            asks = [(ask, *draw(network)) for _ in range(options.count)]
            pairs = len({(address, port) for _, address, port in asks})
            tally(f"{name} on {network}, {pairs} address-port pairs", "answered", asks)
    unbound = [(ask, draw(network)[0], 8000) for network in POOLS.values() for ask in (tcp, refused_udp) for _ in range(25)]
    tally("a port that is not bound (8000)", "refused", unbound)

    print("\nthe pool is halved while 200 connections are open:")
    halves = {version: list(network.subnets(1)) for version, network in POOLS.items()}
    held = []
    for version, (kept, dropped) in halves.items():
        for half in (kept, dropped):
            held += [(half is dropped, open_tcp(*draw(half))) for _ in range(50)]
    tally("connections, before", "answered", [(ask_tcp, client, b"before") for _, client in held])

    with open(options.pool_file, "w") as pool:
        pool.writelines(f"{kept}\n" for kept, _ in halves.values())
    os.kill(options.pid, signal.SIGHUP)
    deadline = time.monotonic() + TIMEOUT
    while "moved to" not in open(options.log).read():
        if time.monotonic() > deadline:
            sys.exit("the server did not switch to the new pool")
        time.sleep(0.01)

    tally("open connections to the kept half", "answered", [(ask_tcp, c, b"after") for gone, c in held if not gone])
    tally("open connections to the dropped half", "answered", [(ask_tcp, c, b"after") for gone, c in held if gone])
    for which, half, wanted in (("kept", 0, "answered"), ("dropped", 1, "refused")):
        for name, ask in (("TCP", tcp), ("UDP", udp if wanted == "answered" else refused_udp)):
            asks = [(ask, *draw(halves[version][half])) for version in POOLS for _ in range(100)]
            tally(f"new {name} to the {which} half", wanted, asks)

    for failure in failures:
        print(f"MISSED: {failure}", file=sys.stderr)
    print("\nsome checks failed" if failures else "\nall checks passed")
    sys.exit(1 if failures else 0)


main()
