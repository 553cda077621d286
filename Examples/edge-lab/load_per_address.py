"""E1: how requests spread over addresses, the paper's Figure 7."""
import collections
import ipaddress
import pathlib

import figures
import lab

TITLE = "E1: load per address"
BEFORE = [f"10.{16 + number // 16}.{number % 16 * 16}.0/20" for number in range(18)]
POOLS = {"/20": "198.18.0.0/20", "/24": "198.18.0.0/24", "one address": "198.18.0.0/32"}
TTL = 60
RESOLVERS = 5_000  # of each region


def count(prefix):
    return ipaddress.ip_network(prefix).num_addresses


def simulate(context, case, prefixes, select, ttl, requests, rate, names, resolvers, seed=1):
    """A simulation by the code that answers queries, of its own policy."""
    folder = pathlib.Path(context.folder) / f"simulate-{case.strip('/').replace(' ', '-')}"
    folder.mkdir(exist_ok=True)
    (folder / "example.com.zone").write_text(lab.ZONE)
    (folder / "policy.yaml").write_text(f"""\
pools: {{ web: [{', '.join(prefixes)}] }}
names:
  zones: [example.com.zone]
  policies: [{{ name: default, pool: web, select: {select}, ttl: {ttl} }}]
""")
    result = context.simulate("load", [
        "--policy", folder / "policy.yaml", "--names", names, "--requests", requests, "--rate", rate,
        "--resolvers", resolvers, "--skew", 1, "--seed", seed, "--threads", 2, "--histogram", folder / "histogram"])
    return result, figures.histogram(folder / "histogram")


def run(context):
    size = context.size
    simulated, before = {}, {}
    for case, prefixes, select in [("before", BEFORE, "name"), *((case, [POOLS[case]], "random") for case in POOLS)]:
        context.say(f"simulating {size.simulated:,} requests: {case}")
        result, requests = simulate(context, case, prefixes, select, TTL, size.simulated, 40_000, size.names, 10_000)
        before = before or requests
        simulated[case] = {"run": result, **figures.distribution(requests.values(), sum(map(count, prefixes)))}
    # The /20s of the old way each have names of their own.
    by_prefix = {}
    for address, requests in before.items():
        by_prefix.setdefault(str(ipaddress.ip_network(f"{address}/20", strict=False)), []).append(requests)
    busiest = sorted(by_prefix, key=lambda prefix: -sum(by_prefix[prefix]))[:2]
    two = {prefix: figures.distribution(by_prefix[prefix], count(prefix)) for prefix in busiest}
    return {"simulated": simulated, "busiest": two, "real": measure(context)}


def measure(context):
    """The same by real queries, connections and requests, beside a simulation of just as many."""
    size, result = context.size, {}
    for case, pool, select in [("bound by name", POOLS["/20"], "name"), *((case, POOLS[case], "random") for case in POOLS)]:
        context.answer_from(pool, select)
        context.say(f"{size.real:,} real requests: {case}")
        half = size.real // 2
        # As fast as they are answered, not faster: an overload would be another experiment.
        arguments = ["--names", size.names, "--resolvers", RESOLVERS, "--concurrency", 32, "--requests", half,
                     "--ports", lab.HTTP, "--requests-per-connection", 1]
        runs = context.visit(arguments, histogram=True)
        real, twin = collections.Counter(), collections.Counter()
        for seed, visit in enumerate(runs):
            real.update(visit["histogram"])
            twin.update(simulate(context, "twin", [pool], select, context.ttl, half, visit["requests"] / visit["seconds"],
                                 size.names, RESOLVERS, seed)[1])
        result[case] = {
            "queries": sum(visit["queries"] for visit in runs), "failed": sum(visit["failures"] for visit in runs),
            "told": [line for visit in runs for line in visit["told"]],
            "real": figures.distribution(real.values(), count(pool)),
            "simulated": figures.distribution(twin.values(), count(pool))}
    context.answer_from(POOLS["/20"])
    return result


def row(name, of):
    return [name, figures.number(of["addresses"]), figures.number(of["requests"]), figures.number(of["max"]),
            figures.number(of["min"]), figures.number(of["maxToMean"]), figures.number(of["p99ToP50"]),
            f"{of['gini']:.3f}"]


HEADER = ["", "addresses", "requests", "most", "least", "max/mean", "p99/p50", "Gini"]


def section(result, output):
    simulated = result["simulated"]

    def paint(axes):
        for prefix, of in result["busiest"].items():
            axes.plot(*zip(*of["curve"]), label=f"before: {prefix} of 18")
        for case in POOLS:
            marker = "o" if simulated[case]["addresses"] == 1 else None
            axes.plot(*zip(*simulated[case]["curve"]), marker=marker, label=f"an address per query: {case}")

    figures.draw(output / "load-per-address.svg", "Requests per address (simulated)", "address, by load", "requests",
                 paint, "xy")

    def paint_real(axes):
        for case, of in result["real"].items():
            marker = "o" if of["real"]["addresses"] == 1 else None
            line, = axes.plot(*zip(*of["real"]["curve"]), marker=marker, label=case)
            axes.plot(*zip(*of["simulated"]["curve"]), "--", color=line.get_color(), linewidth=1)

    figures.draw(output / "load-per-address-real.svg", "Requests per address: real, and simulated (dashed)",
                 "address, by load", "requests", paint_real, "xy")
    run = simulated["/20"]["run"]
    rows = [row(f"before: 18 /20s, {prefix}", of) for prefix, of in result["busiest"].items()]
    rows += [row("before: all 18 /20s", simulated["before"])]
    rows += [row(f"an address per query: {case}", simulated[case]) for case in POOLS]
    pairs = []
    for case, of in result["real"].items():
        pairs += [row(f"{case}: real", of["real"]), row(f"{case}: simulated", of["simulated"])]
    failed = sum(of["failed"] for of in result["real"].values())
    return f"""\
*Simulated*: {run['requests']:,} requests per case for {run['names']:,} names, Zipf with exponent 1, through the caches of 10,000
resolvers, whose client populations are Zipf, too; TTL {TTL} s, 40,000 requests per second. Each answer is drawn by the server's
policy engine ({run['queries']:,} answers for the /20: caches answer {run['cacheHitShare']:.0%}, fewer than where a page takes many requests).
*Before* is `select: name` over 18 /20s: each name has one address.

{figures.table(HEADER, rows)}
![Requests per address](load-per-address.svg)

*Real*: DNS queries, connections and one request each through the edge above, {failed} failed; beside it the same number simulated,
with the same names, TTL and number of resolvers.

{figures.table(HEADER, pairs)}
![Real and simulated](load-per-address-real.svg)

The paper's Figure 7 shows the same shape in production: with addresses bound to names, loads differ by orders of magnitude; with an
address drawn for each query they are nearly equal, the more so the fewer addresses there are; and one address carries everything.
"""
