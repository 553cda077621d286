# SPDX-License-Identifier: Apache-2.0
"""The name servers that scripts/bench dns compares: how each is configured and started, and what it must answer."""
import dataclasses, ipaddress, os

# Where they listen: an address as any, on the loopback interface. Bound to 127.0.0.1, steer-dns would take itself for
# steered to, and ask the kernel where each query went.
ADDRESS = "203.0.113.53"
ONE, SMALL, LARGE, SIX = "192.0.2.7/32", "192.0.2.0/24", "198.18.0.0/20", "2001:db8::/44"
A, AAAA, MIXED = "a", "aaaa", "mixed"

ZONE = """$ORIGIN example.com.
$TTL 3600
@ SOA ns1 hostmaster 1 3600 600 86400 60
@ NS ns1
ns1 A 127.0.0.1
"""


@dataclasses.dataclass
class Server:
    name: str
    configure: object  # (folder, port) -> the command that starts it; writes its files there
    v4: str = SMALL
    distinct: int = 256  # how many IPv4 addresses it answers with; 1 for one that does not draw
    traffic: tuple = (MIXED,)


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def listed(v4, count):
    """As many addresses of a pool, for servers that know no prefixes; of the IPv6 pool as many /56."""
    six = int(ipaddress.ip_network(SIX).network_address)
    return [str(ipaddress.ip_network(v4)[i]) for i in range(count)], [
        str(ipaddress.IPv6Address(six | i << 72 | 1)) for i in range(count)]


def write_names(path, count):
    with open(path, "w") as file:
        for first in range(0, count, 100_000):
            file.write("".join(f"n{k}.example.com account=free\n" for k in range(first, min(first + 100_000, count))))


def bound(program):
    command = lambda folder, port: [program, ADDRESS, str(port), SMALL, SIX]
    return Server("bound", command, traffic=(A, AAAA, MIXED))


def steer_dns(program, v4, distinct, names, traffic):
    def configure(folder, port):
        write(folder, "example.com.zone", ZONE)
        policy = write(folder, "policy.yaml", f"""pools:
  web: [{v4}, "{SIX}"]
names:
  zones:
    - {{origin: example.com, file: example.com.zone}}
  lists:
    customers: {names}
  policies:
    - {{name: free, list: customers, attribute: account=free, pool: web, select: random, ttl: 30}}
    - {{name: default, pool: web, ttl: 60}}
""")
        return [program, "serve", "--policy", policy, "--listen", f"{ADDRESS}:{port}", "--workers", "1",
                "--no-response-limit"]
    return Server(f"steer-dns /{v4.split('/')[1]}", configure, v4, distinct, traffic)


def knot(v4, count):
    def configure(folder, port):
        write(folder, "example.com.zone", ZONE)
        sets = "".join(f"  - weight: 1\n    A: {four}\n    AAAA: {six}\n" for four, six in zip(*listed(v4, count)))
        write(folder, "geo.conf", f"*.example.com:\n{sets}")
        return ["knotd", "-c", write(folder, "knot.conf", f"""server:
    rundir: {folder}
    listen: {ADDRESS}@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {folder}
log:
  - target: stderr
    any: warning
mod-geoip:
  - id: pool
    config-file: {folder}/geo.conf
    ttl: 30
    mode: weighted
zone:
  - domain: example.com
    file: {folder}/example.com.zone
    journal-content: none
    zonefile-load: whole
    module: mod-geoip/pool
""")]
    return Server(f"Knot + geoip, {count:,} addresses", configure, v4, count)


def gdnsd(count=64):
    def configure(folder, port):
        for name in ("zones", "run", "state"):
            os.mkdir(os.path.join(folder, name))
        fours, sixes = ("\n".join(f"        a{i} => [ {address}, 1 ]" for i, address in enumerate(some))
                        for some in listed(SMALL, count))
        write(folder, "zones/example.com", ZONE + "* 30 DYNA weighted!web\n")
        write(folder, "config", f"""options => {{
  listen => {ADDRESS}:{port}, udp_threads = 1, tcp_threads = 1
  run_dir = {folder}/run, state_dir = {folder}/state
}}
service_types => {{ }}
plugins => {{ weighted => {{ multi = false, service_types = up, web => {{
    addrs_v4 => {{
{fours}
    }}
    addrs_v6 => {{
{sixes}
    }}
}} }} }}
""")
        return ["gdnsd", "-c", folder, "start"]
    return Server(f"gdnsd weighted, {count} addresses", configure, distinct=count)


def nsd():
    def configure(folder, port):
        [four], [six] = listed(ONE, 1)
        zone = write(folder, "example.com.zone", ZONE + f"* 30 A {four}\n* 30 AAAA {six}\n")
        # It limits answers to 200 a second for a source unless it is told not to.
        return ["nsd", "-d", "-c", write(folder, "nsd.conf", f"""server:
    server-count: 1
    ip-address: {ADDRESS}@{port}
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{folder}"
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    cookie-secret-file: "{folder}/cookies"
    xfrdir: "{folder}"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: example.com
    zonefile: {zone}
""")]
    return Server("NSD static, 1 address", configure, ONE, 1)


def powerdns(what):
    """`pickrandom` chooses from a list, which each query's Lua makes anew; `computed` draws a number."""
    def configure(folder, port):
        if what == "pickrandom":
            # A string of a record holds 255 bytes; the strings of one record are joined by blanks.
            lists = [[f"'{address}'," for address in some] for some in listed(SMALL, 256)]
            fours, sixes = (["pickrandom({", *("".join(some[i:i + 8]) for i in range(0, 256, 8)), "})"]
                            for some in lists)
        else:
            fours = [";return string.format('192.0.2.%d', math.random(0, 255))"]
            sixes = [";return string.format('2001:db8:%x:%x::1', math.random(0, 15), math.random(0, 65535))"]
        fours, sixes = (" ".join(f'"{piece}"' for piece in some) for some in (fours, sixes))
        zone = write(folder, "example.com.zone", ZONE + f"* 30 LUA A {fours}\n* 30 LUA AAAA {sixes}\n")
        write(folder, "named.conf", f'zone "example.com" {{ type master; file "{zone}"; }};\n')
        write(folder, "pdns.conf", f"""launch=bind
bind-config={folder}/named.conf
local-address={ADDRESS}
local-port={port}
socket-dir={folder}
enable-lua-records=shared
receiver-threads=1
distributor-threads=1
security-poll-suffix=
zone-cache-refresh-interval=0
""")
        return ["pdns_server", f"--config-dir={folder}", "--daemon=no", "--guardian=no", "--disable-syslog"]
    return Server(f"PowerDNS Lua, {what}", configure)


def all_servers(bound_program, steer_dns_program, names):
    """In the order of the report; the first is what all others are compared to."""
    return [
        bound(bound_program),
        steer_dns(steer_dns_program, ONE, 1, names, (A,)),
        steer_dns(steer_dns_program, SMALL, 256, names, (A, AAAA, MIXED)),
        steer_dns(steer_dns_program, LARGE, 4096, names, (A,)),
        knot(SMALL, 256), knot(LARGE, 4096), gdnsd(), nsd(), powerdns("computed"), powerdns("pickrandom"),
    ]
