"""The edge: clients in two regions, two points of presence, three servers each; all of it network namespaces.

    clients-east ---- router-east ---- server-east-1, -2, -3
                \\    /
                 \\  /       BGP between clients and routers (BIRD): both points of presence announce the same
                 /  \\       prefixes, and clients prefer the nearer one
                /    \\
    clients-west ---- router-west ---- server-west-1, -2, -3

A router spreads flows over its servers by a next-hop group (ECMP). Each server has steering for the pool, nginx and
steer-dns. Nothing here knows what an experiment does.

Call this in network, mount and process namespaces of its own (scripts/evaluate): whatever is here ends with them.
"""
import contextlib
import ipaddress
import os
import pathlib
import signal
import subprocess
import time

from network import Bird, Link, Namespace, Router, wait

REGIONS = ("east", "west")
SERVERS = tuple(f"server-{region}-{number}" for region in REGIONS for number in (1, 2, 3))
# RFC 2544's prefix and RFC 3849's: nobody's.
POOL = {4: ipaddress.ip_network("198.18.0.0/20"), 6: ipaddress.ip_network("2001:db8:40::/44")}
NAME_SERVER = {4: "203.0.113.53", 6: "2001:db8:53::53"}
ANNOUNCED = {4: [str(POOL[4]), "203.0.113.0/24"], 6: [str(POOL[6]), "2001:db8:53::/48"]}
SOURCES = {"east": ("10.8.0.0/22", "fd00:8::/64"), "west": ("10.9.0.0/22", "fd00:9::/64")}
HTTP_PORTS = (80, 8080, 8880, 2052, 2082, 2086, 2095)
HTTPS_PORTS = (443, 2053, 2083, 2087, 2096, 8443)
HTTP, HTTPS = (",".join(map(str, ports)) for ports in (HTTP_PORTS, HTTPS_PORTS))


def say(text):
    print(text, flush=True)


class Server(Namespace):
    """A server: steering for the pool, nginx, which knows nothing of it, and steer-dns."""

    def __init__(self, name, folder, tools):
        super().__init__(name)
        self.folder, self.tools = pathlib.Path(folder) / name, tools
        self.nginx = self.dns = None
        self.folder.mkdir()
        self.sysctl(net__core__somaxconn=4096, net__ipv4__tcp_max_syn_backlog=8192)
        for family in (4, 6):
            self.run(f"ip -{family} address add {NAME_SERVER[family]} dev lo" + (" nodad" if family == 6 else ""))
            self.run(f"ip -{family} route add local {POOL[family]} dev lo")

    def write(self, name, text):
        """Replaces a file in one step: servers follow it."""
        path = self.folder / name
        (self.folder / f"{name}.new").write_text(text)
        os.rename(self.folder / f"{name}.new", path)

    def steer(self, command):
        return self.run([self.tools.steer, *command.split()])

    def begin(self, policy, steering=True, dns=True):
        """Puts a policy in force, and starts what answers by it."""
        self.write("web.txt", "".join(f"{prefix}\n" for prefix in POOL.values()))
        self.write("example.com.zone", ZONE)
        self.write("policy.yaml", policy)
        self.serve(steering)
        if dns:
            self.start_dns()

    def serve(self, steered):
        """Has nginx answer for the pool: steered to, or bound to every address, as without us."""
        self.kill_nginx()
        listen = LISTEN if steered else "".join(
            f"listen {address}:{port}{tls}; " for address in ("0.0.0.0", "[::]")
            for ports, tls in ((HTTP_PORTS, ""), (HTTPS_PORTS, " ssl")) for port in ports)
        (self.folder / "nginx.conf").write_text(
            NGINX.format(name=self.name, folder=self.folder, tls=self.tools.tls, listen=listen))
        if steered:
            self.steer(f"apply --load {self.folder}/policy.yaml")
        else:
            self.output([self.tools.steer, "unload"])
        self.nginx = self.start(["nginx", "-c", f"{self.folder}/nginx.conf"], self.folder / "nginx.log",
                                start_new_session=True)
        port = 8001 if steered else 8443
        wait(f"nginx of {self.name}", lambda: self.run(f"ss -Hltn sport = :{port}").count("\n") == 2)
        if steered:
            for label, port in (("web", 8000), ("tls", 8001)):
                for address in ("127.0.0.1", "[::1]"):
                    self.steer(f"register {label} --pid {self.nginx.pid} --replace tcp {address}:{port}")

    def kill_nginx(self):
        """Ends nginx as a fault would, with its worker."""
        if self.nginx:
            os.killpg(self.nginx.pid, signal.SIGKILL)
            self.nginx.wait()
            self.nginx = None

    def status(self):
        """nginx's own counts: connections accepted, requests."""
        words = self.run("curl -s http://127.0.0.1:8000/status").split("\n")[2].split()
        return int(words[0]), int(words[2])

    def start_dns(self):
        listen = [f"--listen={NAME_SERVER[4]}:53", f"--listen=[{NAME_SERVER[6]}]:53"]
        self.dns = self.start(
            [self.tools.steer_dns, "serve", "--policy", f"{self.folder}/policy.yaml", *listen,
             "--workers", "1", "--metrics", "127.0.0.1:9153", "--no-response-limit"], self.folder / "dns.log")

    def await_dns(self):
        def serves():
            if self.dns.poll() is not None:
                raise RuntimeError(f"steer-dns of {self.name} ended: {(self.folder / 'dns.log').read_text()}")
            return "/metrics" in (self.folder / "dns.log").read_text()
        wait(f"steer-dns of {self.name}", serves, 600)

    def reloads(self):
        return (self.folder / "dns.log").read_text().count("policy reloaded")

    def expect_reload(self, policy):
        self.expected = self.reloads() + 1
        self.write("policy.yaml", policy)

    def await_reload(self):
        wait(f"{self.name} answers by the new policy", lambda: self.reloads() >= self.expected)

    def end(self):
        for process in (self.nginx, self.dns):
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (self.nginx, self.dns):
            if process:
                process.wait(30)


class Edge:
    """All of it."""

    def __init__(self, folder, tools):
        self.folder, self.questions = folder, 0
        self.prefixes = dict(POOL)  # what names are answered from
        self.servers = {name: Server(name, folder, tools) for name in SERVERS}
        self.routers = {region: Router(region, ANNOUNCED) for region in REGIONS}
        self.clients = {region: Namespace(f"clients-{region}") for region in REGIONS}
        for region, router in self.routers.items():
            router.attach([server for name, server in self.servers.items() if region in name])
        self.route()

    def route(self):
        asn = {f"{kind}-{region}": 64600 + 10 * number + place
               for number, kind in enumerate(("clients", "router")) for place, region in enumerate(REGIONS)}
        links = {(there, here): Link(self.clients[there], self.routers[here]) for there in REGIONS for here in REGIONS}
        self.birds = {}
        for region, router in self.routers.items():
            neighbours = [(links[there, region], self.clients[there], asn[f"clients-{there}"], 100) for there in REGIONS]
            self.birds[region] = Bird(router, asn[router.name], neighbours, ANNOUNCED, self.folder)
        for region, clients in self.clients.items():
            clients.sysctl(net__ipv4__ip_local_port_range="1024 65535", net__ipv4__tcp_tw_reuse=1)
            for family, prefix in zip((4, 6), SOURCES[region]):
                clients.run(f"ip -{family} route add local {prefix} dev lo")
            neighbours = [(links[region, here], self.routers[here], asn[f"router-{here}"], 200 if here == region else 100)
                          for here in REGIONS]
            Bird(clients, asn[clients.name], neighbours, {4: [SOURCES[region][0]], 6: [SOURCES[region][1]]}, self.folder)
        for region in REGIONS:
            wait(f"routes of {region}", lambda: self.nearest(region) == region)

    def nearest(self, region):
        """To which point of presence the clients of a region go: by their own routes."""
        found = set()
        for family in (4, 6):
            route = self.clients[region].output(f"ip -{family} route get {POOL[family][1]}")
            found.add(route.split(" dev ")[1].split()[0].removeprefix("router-") if "router-" in route else None)
        return found.pop() if len(found) == 1 else None

    def begin(self, policy):
        """Starts what all servers run."""
        for server in self.servers.values():
            server.begin(policy)
        for server in self.servers.values():
            server.await_dns()

    def each(self, command):
        """Runs a command of `steer` on all servers at once; ends when all have."""
        running = []
        for server in self.servers.values():
            words = [server.tools.steer, *command.format(policy=f"{server.folder}/policy.yaml").split()]
            running.append((server, subprocess.Popen(server.command(words), stdout=subprocess.PIPE,
                                                     stderr=subprocess.PIPE, text=True)))
        for server, process in running:
            output, error = process.communicate(timeout=600)
            if process.returncode != 0:
                raise RuntimeError(f"{server.name}: steer {command}: {error or output}")

    def move(self, *prefixes):
        """Moves the pool on all servers to these prefixes, those of another family aside, step by step. Gives the seconds
        from the decision until each step was done."""
        new = {prefix.version: prefix for prefix in map(ipaddress.ip_network, prefixes)}
        old = {family: self.prefixes[family] for family in new}
        began, seconds = time.time(), {}
        for step in ("bound", "quiet", "moved") if new != old else ():
            self.each(f"pool move web --policy {{policy}} --from {' '.join(map(str, old.values()))} "
                      f"--to {' '.join(map(str, new.values()))} --server 127.0.0.1:9153 --for 1 --until {step}")
            seconds[step] = time.time() - began
        self.prefixes |= new
        return seconds

    def reload(self, policy):
        """Gives all servers another policy of names; ends when all answer by it."""
        for server in self.servers.values():
            server.expect_reload(policy)
        for server in self.servers.values():
            server.await_reload()

    def answered(self):
        """How many requests nginx has answered on all servers, these questions aside."""
        self.questions += len(self.servers)
        return sum(server.status()[1] for server in self.servers.values()) - self.questions

    def accepted(self):
        """How many connections each server has accepted, these questions among them."""
        return {name: server.status()[0] for name, server in self.servers.items()}

    def end(self):
        for server in self.servers.values():
            server.end()


def visitors(tools, namespace, sources, arguments):
    """Starts clients in a namespace, with addresses of an IPv4 and an IPv6 prefix."""
    words = [tools.visitors, "--server", NAME_SERVER[4], "--sources", sources[0], "--sources6", sources[1], *map(str, arguments)]
    return subprocess.Popen(namespace.command(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def write_names(path, count):
    """Writes a list of the names that visitors ask for."""
    with open(path, "w") as file:
        file.writelines(f"n{number}.example.com\n" for number in range(count))


@contextlib.contextmanager
def edge(folder, tools):
    lab = Edge(folder, tools)
    try:
        yield lab
    finally:
        lab.end()


def policy(ttl, names, select="random"):
    """The policy of all servers: an address of the pool for each of the names in a file."""
    return f"""\
pools:
  web: {{ prefixes-from: web.txt, drained-from: web-drained.txt }}
names:
  zones: [example.com.zone]
  lists: {{ customers: {names} }}
  policies:
    - {{ name: customers, list: customers, pool: web, select: {select}, ttl: {ttl} }}
    - {{ name: default, outcome: refuse }}
bindings:
  - {{ label: web, protocols: tcp, pool: web, ports: "{HTTP}" }}
  - {{ label: tls, protocols: tcp, pool: web, ports: "{HTTPS}" }}
"""


ZONE = f"""\
$ORIGIN example.com.
$TTL 60
@   SOA ns hostmaster ( 1 1d 2h 4w 5m )
    NS  ns
ns  A   {NAME_SERVER[4]}
ns  AAAA {NAME_SERVER[6]}
"""

LISTEN = """\
listen 127.0.0.1:8000 backlog=4096; listen [::1]:8000 backlog=4096;
    listen 127.0.0.1:8001 ssl backlog=4096; listen [::1]:8001 ssl backlog=4096;"""

NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  default_type text/plain;
  ssl_certificate {tls}/certificate.pem;
  ssl_certificate_key {tls}/key.pem;
  server {{
    {listen}
    location = /status {{ stub_status; }}
    location / {{ return 200 "{name}\\n"; }}
  }}
}}
"""
