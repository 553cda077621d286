"""E3: routing, ECMP and load balancing neither know nor care."""
import time

import figures
import network

TITLE = "E3: routing and load balancing are unaffected"
WIDE, ONE = "198.18.0.0/20", "198.18.0.0/32"


def run(context):
    return {"spread": spread(context), "routes": routes(context), "anycast": anycast(context), "changes": changes(context)}


def since(before, after):
    return {name: after[name] - count for name, count in before.items()}


def spread(context):
    """The connections that each server of a point of presence gets, by how names are answered."""
    edge, result = context.edge(), {}
    for case, pool, select in [("bound by name, /20", WIDE, "name"), ("an address per query, /20", WIDE, "random"),
                               ("one address", ONE, "random")]:
        context.answer_from(pool, select)
        context.say(f"ECMP: {case}")
        before = edge.accepted()
        runs = context.visit(["--names", context.size.names, "--concurrency", 32, "--requests-per-connection", 1,
                              "--requests", context.size.spread // 2])
        result[case] = {"failed": sum(visit["failures"] for visit in runs),
                        "servers": since(before, edge.accepted())}
    context.answer_from(WIDE)
    return result


def routes(context):
    """The routes of a router while the pool is a /20 and one address."""
    edge, result = context.edge(), {}
    for case, pool in (("one address", ONE), ("/20", WIDE)):
        edge.move(pool)
        result[case] = edge.routers["east"].routes()
    return result


def anycast(context):
    """The nearer point of presence withdraws, and announces again, while its clients come."""
    edge = context.edge()
    context.say("anycast: east withdraws")
    with context.visiting(["--names", context.size.names, "--rate", 2000, "--requests-per-connection", 1, "--seconds", 60],
                          regions=["east"]) as visits:
        time.sleep(2)
        before = edge.accepted()
        began = time.time()
        edge.birds["east"].announce(False)
        network.wait("the other point of presence", lambda: edge.nearest("east") == "west")
        seconds = time.time() - began
        time.sleep(3)
        moved = since(before, edge.accepted())
        edge.birds["east"].announce(True)
        network.wait("the nearer point of presence", lambda: edge.nearest("east") == "east")
        time.sleep(2)
    run, = visits.results
    return {"seconds": seconds, "requests": run["requests"], "failed": run["failed"],
            "west": sum(count for name, count in moved.items() if "west" in name) / max(sum(moved.values()), 1)}


# MARK: A server leaves, dies, joins


def change(router, servers, what):
    if what == "leaves":
        router.change([1, 2])
    elif what == "joins":
        router.change([1, 2, 3])
    elif what == "dies":
        servers[2].kill_nginx()
        time.sleep(1)
        router.change([1, 2])


def changes(context):
    """Which of the connections that are open break. Without us is the same nginx, bound to every address."""
    edge, result = context.edge(), []
    router = edge.routers["east"]
    servers = [edge.servers[f"server-east-{number}"] for number in (1, 2, 3)]
    for steered in (True, False):
        for server in servers:
            server.serve(steered)
        for resilient in (False, True):
            for what in context.size.changes:
                context.say(f"a server {what}: {'resilient' if resilient else 'plain'} group, "
                            f"{'steered' if steered else 'bound'}")
                router.balance([1, 2] if what == "joins" else [1, 2, 3], resilient)
                result.append({"steered": steered, "resilient": resilient, "what": what,
                               **broken(context, lambda: change(router, servers, what))})
                if what == "dies":
                    servers[2].serve(steered)
    for server in servers:
        server.serve(True)
    router.balance([1, 2, 3])
    return result


def broken(context, event):
    """Keeps connections open while something happens, and counts those that break."""
    with context.visiting(["--names", 1000, "--concurrency", context.size.open, "--think", 200, "--requests-per-connection", 1000,
                           "--seconds", 60, "--timeout", 2], regions=["east"]) as visits:
        time.sleep(1.5)
        event()
        time.sleep(2.5)
    run, = visits.results
    return {"broken": run["failures"], "kinds": run["failed"], "open": context.size.open}


def section(result, output):
    names = list(next(iter(result["spread"].values()))["servers"])
    rows = []
    for case, of in result["spread"].items():
        counts = [of["servers"][name] for name in names]
        east, west = sum(counts[:3]), sum(counts[3:])
        shares = [f"{count / part:.1%}" for count, part in zip(counts, [east] * 3 + [west] * 3)]
        rows.append([case, *shares, of["failed"]])
    spread = figures.table(["", *(name.removeprefix("server-") for name in names), "failed"], rows)
    rows = []
    for what, resilient in dict.fromkeys((each["what"], each["resilient"]) for each in result["changes"]):
        with_us, without = (next(each for each in result["changes"] if each["what"] == what
                                 and each["resilient"] == resilient and each["steered"] == steered)
                            for steered in (True, False))
        rows.append([f"a server {what}", "resilient" if resilient else "plain", with_us["broken"], without["broken"]])
    changes = figures.table(["", "next-hop group", "broken, steered", "broken, bound to every address"], rows)
    anycast, routes = result["anycast"], result["routes"]
    failed = ", ".join(f"{count} {kind}" for kind, count in anycast["failed"].items()) or "none"
    return f"""\
All of it is *real*. **ECMP** spreads by addresses and ports (`fib_multipath_hash_policy=1`). The table has each server's share of the
connections of its point of presence, by how names are answered. Even with one address, the clients' half of the hash is enough.

{spread}
**A server leaves, dies, joins** while {result['changes'][0]['open']} keep-alive connections are open, with an IPv4 address per query and a request every 0.2 s: how many
connections break. A server that *leaves* is taken out of the group while it runs; when one *dies*, nginx is killed, and the server taken out
a second later. A group that is not resilient moves flows of other servers, too; steering neither adds to that nor repairs it. *Bound*
is the same nginx on `0.0.0.0` and `[::]`, without steering.

{changes}
**Anycast**: the nearer point of presence withdraws its prefixes by BGP, and announces them again, at 2,000 connections per second: its
clients reached the other after {anycast['seconds'] * 1000:.0f} ms ({anycast['west']:.0%} of the connections in between went there); failures among {anycast['requests']:,} requests: {failed}.

**The router's table**: {routes['/20']} routes while names are answered from a /20, {routes['one address']} with one address: announcements do not change.

The paper reports that routing, ECMP, and L4 load balancing needed no change, and that the spread over servers stayed the same.
"""
