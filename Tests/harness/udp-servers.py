"""Checks that real UDP servers on whole prefixes answer from the queried address, in both families.

Each is started as in docs/servers.md, on the queried port, which its answers come from, and registered by pid. A client
sends queries to random addresses of a /24 and a /48, and accepts answers from no other address.

    scripts/harness udp-servers --steer PATH [--only NAME ...]

Prints a table on standard error, and one line of JSON; exits 1 if a server's behavior differs from what the page
documents.
"""
import argparse
import ipaddress
import os
import random
import signal
import socket
import subprocess
import sys
import time

from support import Failed, PREFIXES, run_in_lab

QUERY = bytes.fromhex("1234 0100 0001 0000 0000 0000 0673657276657207696e76616c696400 0010 0001".replace(" ", ""))
ZONE = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\nserver TXT it\n"


class Server:
    """A server that answers for the name server.invalid, over the families in `works`."""
    name, works, sysctls = "", {4, 6}, {}

    def write(self, folder, name, text):
        path = f"{folder}/{name}"
        with open(path, "w") as file:
            file.write(text)
        return path


class Unbound(Server):
    package = "unbound"
    name = "unbound"

    def command(self, folder):
        configuration = self.write(folder, "unbound.conf", f"""server:
    interface: 0.0.0.0@53
    interface: ::0@53
    interface-automatic: yes
    interface-automatic-ports: "53"
    ip-freebind: yes
    access-control: 0.0.0.0/0 allow
    access-control: ::0/0 allow
    do-daemonize: no
    do-tcp: no
    num-threads: 1
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    module-config: "iterator"
    local-zone: "server.invalid." static
    local-data: "server.invalid. TXT it"
""")
        return ["unbound", "-d", "-c", configuration]


class Knot(Server):
    """Knot: for an address that is only routed here, IPV6_PKTINFO needs the sysctl."""
    package = "knot"
    name = "knot"
    sysctls = {"net.ipv6.ip_nonlocal_bind": 1}

    def command(self, folder):
        self.write(folder, "invalid.zone", ZONE)
        configuration = self.write(folder, "knot.conf", f"""server:
    listen: [ 0.0.0.0@53, ::@53 ]
    rundir: {folder}
    udp-workers: 1
database:
    storage: {folder}
zone:
  - domain: invalid
    file: {folder}/invalid.zone
""")
        return ["knotd", "-c", configuration]


class Dnsmasq(Server):
    package = "dnsmasq-base"
    name = "dnsmasq"
    sysctls = {"net.ipv6.ip_nonlocal_bind": 1}

    def command(self, folder):
        return ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--port=53",
                "--user=root", f"--pid-file={folder}/pid", "--txt-record=server.invalid,it"]


class NSD(Server):
    """NSD, which answers from the address that it is bound to, or from one of the machine's."""
    package = "nsd"
    name, works = "nsd", set()

    def command(self, folder):
        self.write(folder, "invalid.zone", ZONE)
        configuration = self.write(folder, "nsd.conf", f"""server:
    ip-address: 127.0.0.1@53
    ip-address: ::1@53
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    pidfile: "{folder}/pid"
    xfrdfile: "{folder}/xfrd"
    xfrdir: "{folder}"
    zonelistfile: "{folder}/zones"
    database: ""
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: invalid
    zonefile: invalid.zone
""")
        return ["nsd", "-d", "-c", configuration]


SERVERS = [Unbound(), Knot(), Dnsmasq(), NSD()]


def is_answered(family):
    """Returns whether a connected client, which receives only from the queried address, gets an answer."""
    prefix = ipaddress.ip_network(PREFIXES[family])
    address = str(prefix[random.randrange(1, prefix.num_addresses - 1)])
    with socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect((address, 53))
        try:
            client.send(QUERY)
            return client.recv(512)[:2] == QUERY[:2]
        except OSError:
            return False


def sysctl(name, value):
    path = f"/proc/sys/{name.replace('.', '/')}"
    with open(path) as file:
        former = file.read().strip()
    with open(path, "w") as file:
        file.write(str(value))
    return former


def measure(lab, server, problems):
    folder = f"{lab.folder}/{server.name}"
    os.mkdir(folder)
    former = {name: sysctl(name, value) for name, value in server.sysctls.items()}
    log = open(f"{folder}/log", "w")
    process = subprocess.Popen(server.command(folder), stdout=log, stderr=log, start_new_session=True)
    answered = {}
    try:
        lab.steer("register", "dns", "--pid", process.pid, "udp", ":53", "--all", "--wait", 20)
        for family in 4, 6:
            deadline = time.monotonic() + (10 if family in server.works else 1)
            while not is_answered(family) and time.monotonic() < deadline:
                time.sleep(0.05)
            answered[family] = sum(is_answered(family) for _ in range(20 if family in server.works else 3))
            if bool(answered[family]) != (family in server.works) or answered[family] not in (0, 20):
                problems.append(f"{server.name}, IPv{family}: {answered[family]} answers: {open(log.name).read()[-500:]}")
    except Failed as failure:
        problems.append(f"{server.name}: {failure}: {open(log.name).read()[-500:]}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for name, value in former.items():
            sysctl(name, value)
    row = {"server": server.name, "answers": answered}
    print(row, file=sys.stderr, flush=True)
    return row


def run(lab, options, problems):
    os.chmod(lab.folder, 0o755)
    lab.steer("load")
    lab.steer("apply", lab.file("policy.json", {"bindings": [
        {"label": "dns", "protocols": "udp", "prefixes": list(PREFIXES.values()), "ports": 53}]}))
    servers = [server for server in SERVERS if not options.only or server.name in options.only]
    rows = [measure(lab, server, problems) for server in servers]
    return {"rows": rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steer", required=True)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--packages", action="store_true", help="only print the Debian packages of the servers")
    options = parser.parse_args()
    if options.packages:
        print(*[server.package for server in SERVERS if not options.only or server.name in options.only])
    else:
        run_in_lab(run, options)


main()
