"""Servers, and clients that send continuously."""
import ipaddress
import os
import random
import signal
import socket
import time

from support import PATIENCE, Failed, PREFIXES, TCP_PORT, UDP_PORT, fork


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
    """Serves UDP; replies from the address that the request was sent to."""
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
        client.settimeout(PATIENCE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # A reset: no TIME_WAIT.
        client.connect((address, TCP_PORT))
        if client.recv(3) != b"hey":
            raise OSError("closed without an answer")


def ask_udp(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect((address, UDP_PORT))  # So that a refusal is heard, and only a reply from there.
        token = os.urandom(8)
        client.send(token)
        if client.recv(64) != token:
            raise OSError("wrong reply")


class Traffic:
    """Servers on loopback, and clients that send requests to random steered addresses, one after the other, without end."""

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
            deadline = time.monotonic() + PATIENCE
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
        """Stops, and returns the counts and the failures."""
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
