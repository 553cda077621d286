"""E4: the paper's means on one machine: 5 to 6 thousand DNS queries and 35 to 40 thousand HTTP requests a second."""
import os
import time

import figures
import lab

TITLE = "E4: scale"
KINDS = ("nginx", "steer-dns")


def processor():
    """Seconds of processor time: of the kinds of processes, and of all processors, used and in all."""
    ticks = os.sysconf("SC_CLK_TCK")
    own = dict.fromkeys(KINDS, 0)
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat") as file:
                name, rest = file.read().split("(", 1)[1].rsplit(")", 1)
        except (OSError, IndexError):
            continue
        if name in own:
            own[name] += sum(map(int, rest.split()[11:13])) / ticks
    with open("/proc/stat") as file:
        times = [int(word) / ticks for word in file.readline().split()[1:9]]
    own["all"] = sum(times)
    own["idle"] = times[3] + times[4]
    own["interrupts"] = times[5] + times[6]
    return own


def run(context):
    edge, size = context.edge(), context.size
    arguments = ["--names", size.names, "--resolvers", 1_000_000, "--requests-per-connection", 7, "--ipv6", 0.3,
                 "--ports", lab.HTTP]
    context.say("how much the machine carries, without a pace")
    most = context.visit([*arguments, "--concurrency", 64, "--seconds", size.most_seconds])
    # The fastest pace that it keeps up with: in the middle, visits do not wait for each other.
    paces = []
    for rate in size.scale_rates:
        context.say(f"{rate:,} requests a second, to see whether it keeps up")
        trial = context.visit([*arguments, "--rate", rate // 2, "--seconds", size.most_seconds])
        paces.append((rate, trial))
        if not any(of["failures"] for of in trial) and max(of["latency"]["visit"]["p50"] for of in trial) < 20_000:
            break
    context.say(f"{rate:,} requests a second for {size.scale_seconds} s")
    before, answered, began = processor(), edge.answered(), time.time()
    paced = context.visit([*arguments, "--rate", rate // 2, "--seconds", size.scale_seconds], progress=True)
    seconds = time.time() - began
    used = {kind: value - before[kind] for kind, value in processor().items()}
    used["visitors"] = sum(run["userSeconds"] + run["systemSeconds"] for run in paced)
    return {"most": most, "paces": paces, "paced": paced, "seconds": seconds, "processor": used, "rate": rate,
            "served": edge.answered() - answered, "names": size.names, "processors": os.cpu_count()}


def section(result, output):
    def total(runs, key):
        return sum(run[key] for run in runs)

    def a_second(runs, key):
        return f"{sum(run[key] / run['seconds'] for run in runs):,.0f}"

    runs = [("as fast as it is answered", result["most"]), *((f"{rate:,} requests/s", of) for rate, of in result["paces"]),
            (f"{result['rate']:,} requests/s", result["paced"])]
    rows = [[name, f"{max(run['seconds'] for run in of):.0f}", a_second(of, "queries"), a_second(of, "connections"),
             a_second(of, "requests"), f"{total(of, 'requests'):,}", total(of, "failures"),
             f"{max(run['latency']['visit']['p50'] for run in of) / 1000:.1f}"] for name, of in runs]
    header = ["", "seconds", "DNS queries/s", "connections/s", "requests/s", "requests", "failed", "visit p50, ms"]
    latencies = []
    for what in ("dns", "connect", "request", "visit"):
        # The worse of the two regions: percentiles do not add up.
        of = [run["latency"][what] for run in result["paced"]]
        latencies.append([what, *(f"{max(each[key] for each in of) / 1000:.2f}" for key in ("p50", "p90", "p99", "p999", "max"))])
    used = result["processor"]
    shares = ", ".join(f"{kind} {used[kind] / used['all']:.0%}" for kind in (*KINDS, "visitors"))
    return f"""\
*Real*: {result['names']:,} names, the whole /20 and the /44 (30 % of the visits), {len(lab.HTTP_PORTS)} ports; each visit resolves its name (Zipf, a million
resolvers, so that caches help little), connects and makes 7 requests over its connection, as the paper's means have it. {result['processors']}
processors carry the clients, the routers, the servers and all packets between: where they are all in use, that is the limit. Paces are
tried from above until visits no longer wait for each other; that one is kept up.

{figures.table(header, rows)}
Of the long run, in ms, the slower region (`visit`: from when it was due to its first response):

{figures.table(["", "p50", "p90", "p99", "p99.9", "most"], latencies)}
Processor time: {shares}; the kernel's interrupts {used['interrupts'] / used['all']:.0%}, idle {used['idle'] / used['all']:.0%}. Packets are forwarded by whoever sends them: what the
router does is in the shares of clients and servers. nginx served {result['served'] - total(result['paced'], 'requests'):+,} requests beside those that the visitors count.

The paper's means are 5 to 6 thousand DNS queries and 35 to 40 thousand HTTP requests a second.
"""
