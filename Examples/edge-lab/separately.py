"""E6: each half alone, as section 3.4 of the paper asks: names from elsewhere, and services bound the old way."""
import figures
import lab
import network

TITLE = "E6: each half alone"


def run(context):
    return {"names elsewhere": nsd(context), "bound the old way": bound(context), "names": context.size.offline}


def policy(context):
    names = f"{context.folder}/offline-names.txt"
    lab.write_names(names, context.size.offline)
    return lab.policy(60, names)


def nsd(context):
    """Steering, and names by NSD from the file that `steer-dns zone` writes."""
    context.say("steering with names served by NSD")
    server, clients = pair(context, "alone-steering")
    server.begin(policy(context), dns=False)
    offline = server.folder / "offline"
    offline.mkdir()
    server.run([context.tools.steer_dns, "zone", "--policy", server.folder / "policy.yaml", "--origin", "example.com",
                "--seed", 1, "--output", offline])
    (server.folder / "nsd.conf").write_text(f"""\
server:
  ip-address: {lab.NAME_SERVER[4]}
  zonesdir: "{server.folder}"
  database: ""
  zonelistfile: "{server.folder}/zone.list"
  xfrdfile: "{server.folder}/xfrd.state"
  pidfile: ""
  username: root
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: example.com
  zonefile: "{offline}/example.com.zone"
""")
    server.dns = server.start(["nsd", "-d", "-c", f"{server.folder}/nsd.conf"], server.folder / "nsd.log")
    network.wait("NSD", lambda: clients.output(f"dig +short +time=1 +tries=1 @{lab.NAME_SERVER[4]} n0.example.com").strip(), 300)
    return visit(context, server, clients)


def bound(context):
    """steer-dns, and nginx bound to the addresses; no steering is loaded."""
    context.say("steer-dns with a bound service")
    server, clients = pair(context, "alone-names")
    server.begin(policy(context), steering=False)
    server.await_dns()
    return visit(context, server, clients)


def pair(context, name):
    """A server and clients, by themselves."""
    server, clients = lab.Server(f"{name}-server", context.folder, context.tools), network.Namespace(f"{name}-clients")
    link = network.Link(clients, server)
    for family in (4, 6):
        clients.run(f"ip -{family} route add default via {link.to(server)[family]}")
    clients.run(f"ip route add local {lab.SOURCES['east'][0]} dev lo")
    server.run(f"ip route add {lab.SOURCES['east'][0]} via {link.to(clients)[4]}")
    return server, clients


def visit(context, server, clients):
    result = context.visit_from(clients, lab.SOURCES["east"], [
        "--names", context.size.offline, "--concurrency", 32, "--requests", context.size.alone])
    steering = server.output([context.tools.steer, "status"])
    server.end()
    return {**result, "loaded": "not loaded" not in steering and bool(steering)}


def section(result, output):
    rows = [[what, f"{of['requests']:,}", of["failures"], f"{of['queries']:,}", "yes" if of["loaded"] else "no"]
            for what, of in result.items() if what != "names"]
    return f"""\
*Real*. **Names elsewhere**: `steer-dns zone` writes an address for each of {result['names']:,} names into a zone file, NSD serves it, and steering
serves the addresses. **Bound the old way**: steer-dns answers with an address per query, and nginx is bound to every address, without
steering.

{figures.table(["", "requests", "failed", "DNS queries", "steering loaded"], rows)}
The paper requires that either half can be deployed without the other.
"""
