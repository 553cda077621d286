"""Parts that a network is made of: namespaces, links between them, routers with next-hop groups, BIRD."""
import pathlib
import subprocess
import time


def wait(what, holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: timed out after {seconds} s")
        time.sleep(0.05)


class Namespace:
    """A network namespace, with /sys/fs/bpf as it is outside, which `ip netns exec` would hide."""

    def __init__(self, name):
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.run("ip link set lo up")

    def command(self, command):
        words = command.split() if isinstance(command, str) else [str(word) for word in command]
        return ["nsenter", f"--net=/run/netns/{self.name}", *words]

    def output(self, command):
        """What a command prints, whether it fails or not."""
        return subprocess.run(self.command(command), capture_output=True, text=True).stdout

    def run(self, command):
        done = subprocess.run(self.command(command), capture_output=True, text=True)
        if done.returncode != 0:
            text = command if isinstance(command, str) else " ".join(map(str, command))
            raise RuntimeError(f"{self.name}: {text} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def start(self, command, log, **options):
        with open(log, "a") as output:
            return subprocess.Popen(
                self.command(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options)

    def sysctl(self, **settings):
        self.run(["sysctl", "-q", "-w", *(f"{name.replace('__', '/')}={value}" for name, value in settings.items())])


class Link:
    """A veth pair between two namespaces, with addresses of both families."""

    count = 0

    def __init__(self, one, other):
        number = Link.count
        Link.count += 1
        subprocess.run(["ip", "link", "add", other.name[:15], "netns", one.name, "type", "veth", "peer", "name",
                        one.name[:15], "netns", other.name], check=True)
        self.addresses = {}
        for end, namespace, device in ((0, one, other.name[:15]), (1, other, one.name[:15])):
            four = f"10.0.{number}.{end}"
            six = f"fd00:0:0:{number:x}::{end + 1:x}"
            namespace.run(f"ip address add {four}/31 dev {device}")
            namespace.run(f"ip address add {six}/64 dev {device} nodad")
            namespace.run(f"ip link set {device} up")
            self.addresses[namespace.name] = {4: four, 6: six}

    def to(self, namespace):
        return self.addresses[namespace.name]


class Router(Namespace):
    """A point of presence: announces the prefixes to both regions, and spreads what comes over its servers."""

    def __init__(self, region, announced):
        super().__init__(f"router-{region}")
        self.announced, self.resilient, self.generation = announced, True, 0
        self.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1,
                    net__ipv4__fib_multipath_hash_policy=1, net__ipv6__fib_multipath_hash_policy=1)

    def attach(self, servers):
        for number, server in enumerate(servers, 1):
            link = Link(self, server)
            for family in (4, 6):
                address = link.to(server)[family]
                self.run(f"ip -{family} nexthop add id {10 * family + number} via {address} dev {server.name[:15]}")
                server.run(f"ip -{family} route add default via {link.to(self)[family]}")
        self.balance([1, 2, 3])

    def balance(self, numbers, resilient=True):
        """Spreads over these of its servers, by a group that is new: it has no memory of flows."""
        self.generation, self.resilient = self.generation + 1, resilient
        self.change(numbers)
        for family in (4, 6):
            for prefix in self.announced[family]:
                self.run(f"ip -{family} route replace {prefix} nhid {self.group(family)}")

    def change(self, numbers):
        """Changes the members of the group; one that is resilient moves as few flows as it can."""
        kind = "type resilient buckets 256 idle_timer 3600" if self.resilient else ""
        for family in (4, 6):
            members = "/".join(str(10 * family + number) for number in numbers)
            self.run(f"ip nexthop replace id {self.group(family)} group {members} {kind}")

    def group(self, family):
        return 1000 * family + self.generation

    def routes(self):
        """How many routes its table has, of both families, without those of its own addresses."""
        return sum(len(self.run(f"ip -{family} route show").splitlines()) for family in (4, 6))


class Bird:
    """BIRD in a namespace, which speaks BGP over links to others."""

    def __init__(self, namespace, asn, neighbours, announced, folder):
        """Neighbours: link, namespace, AS, and how near it is."""
        self.socket = f"{folder}/{namespace.name}.bird"
        text = [f"router id 10.255.{asn % 100}.1;", "protocol device {}"]
        for family in (4, 6):
            routes = " ".join(f"route {prefix} unreachable;" for prefix in announced[family])
            text.append(f"protocol static own{family} {{ ipv{family}; {routes} }}")
            text.append(f"protocol kernel kernel{family} {{ ipv{family} {{ import none; "
                        f"export where source = RTS_BGP; }}; }}")
            for link, other, other_asn, preference in neighbours:
                text.append(
                    f"protocol bgp {other.name.replace('-', '_')}_{family} {{\n"
                    f"  local {link.to(namespace)[family]} as {asn};\n"
                    f"  neighbor {link.to(other)[family]} as {other_asn};\n"
                    f"  connect delay time 1;\n"
                    f"  ipv{family} {{ import filter {{ bgp_local_pref = {preference}; accept; }};\n"
                    f"    export where source = RTS_STATIC; }};\n}}")
        pathlib.Path(f"{folder}/{namespace.name}.conf").write_text("\n".join(text) + "\n")
        namespace.start(
            ["bird", "-f", "-c", f"{folder}/{namespace.name}.conf", "-s", self.socket], f"{folder}/bird.log")

    def announce(self, announces):
        """Begins or ends to announce what is its own."""
        for family in (4, 6):
            subprocess.run(["birdc", "-s", self.socket, "enable" if announces else "disable", f"own{family}"],
                           check=True, capture_output=True)
