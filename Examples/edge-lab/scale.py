"""E4: the paper's means on one machine: 5 to 6 thousand DNS queries and 35 to 40 thousand HTTP requests a second."""
import os

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

    def measure(pace, seconds, progress=False):
        before, answered = processor(), edge.answered()
        visitors = context.visit(
            ["--names", size.names, "--resolvers", 1_000_000, "--requests-per-connection", 7, "--ipv6", 0.3,
             "--ports", lab.HTTP, "--seconds", seconds, *pace], progress=progress)
        used = {kind: value - before[kind] for kind, value in processor().items()}
        used["visitors"] = sum(of["userSeconds"] + of["systemSeconds"] for of in visitors)
        return {"visitors": visitors, "processor": used, "served": edge.answered() - answered}

    context.say("capacity of the machine, without a fixed pace")
    found = {"names": size.names, "processors": os.cpu_count(), "paced": [],
             "most": measure(["--concurrency", 64], size.scale_trial)}
    # The fastest pace that is kept up, from above: a trial each, and the whole time of those whose trial went well.
    for rate in size.scale_rates:
        for seconds in (size.scale_trial, size.scale_seconds):
            context.say(f"{rate:,} requests per second for {seconds} s")
            measured = measure(["--rate", rate // 2], seconds, progress=True)
            found["paced"].append({"rate": rate, "asked": seconds, **measured})
            if not is_kept_up(measured):
                break
        else:
            found["kept"] = found["paced"][-1]
            break
    return found


def is_kept_up(measured):
    """Whether no request failed, and 99 of 100 visits had their first response within half a second of their time."""
    return not any(of["failures"] or of["latency"]["visit"]["p99"] > 500_000 for of in measured["visitors"])


def section(result, output):
    def row(name, measured):
        of = measured["visitors"]

        def a_second(key):
            return f"{sum(run[key] / run['seconds'] for run in of):,.0f}"

        def total(key):
            return f"{sum(run[key] for run in of):,}"

        used = measured["processor"]
        latency = [f"{max(run['latency']['visit'][key] for run in of) / 1000:.1f}" for key in ("p50", "p99")]
        return [name, f"{max(run['seconds'] for run in of):.0f}", a_second("queries"), a_second("connections"), a_second("requests"),
                total("requests"), total("failures"), *latency, f"{used['idle'] / used['all']:.0%}"]

    rows = [row("no fixed pace", result["most"]), *(row(f"{of['rate']:,} requests/s", of) for of in result["paced"])]
    header = ["", "seconds", "DNS queries/s", "connections/s", "requests/s", "requests", "failed", "visit p50, ms", "p99, ms", "idle"]
    # Of the pace that was kept up, or what came closest.
    last = result.get("kept", result["paced"][-1])
    latencies = []
    for what in ("dns", "connect", "request", "visit"):
        # The worse of the two regions: percentiles do not add up.
        of = [run["latency"][what] for run in last["visitors"]]
        latencies.append([what, *(f"{max(each[key] for each in of) / 1000:.2f}" for key in ("p50", "p90", "p99", "p999", "max"))])
    used = last["processor"]
    shares = ", ".join(f"{kind} {used[kind] / used['all']:.0%}" for kind in (*KINDS, "visitors"))
    beside = last["served"] - sum(run["requests"] for run in last["visitors"])
    return f"""\
*Real*: {result['names']:,} names, the whole /20 and the /44 (30 % of the visits), {len(lab.HTTP_PORTS)} ports; each visit resolves its name (Zipf, a million
resolvers, so that caches help little), connects and makes 7 requests over its connection, the paper's means. {result['processors']}
processors carry the clients, the routers, the servers and all packets between them; the limit is reached when they are fully used. Paces
are tried from the highest down, {result['paced'][0]['asked']} s each. A pace at which no request fails, and 99 of 100 visits have their first response within
half a second, is then run for the whole time, and counts as sustained if the same holds there.

{figures.table(header, rows)}
Latencies of the last run, in ms, in the slower region (`visit`: from the time when it was due to its first response):

{figures.table(["", "p50", "p90", "p99", "p99.9", "most"], latencies)}
Processor time: {shares}; the kernel's interrupts {used['interrupts'] / used['all']:.0%}, idle {used['idle'] / used['all']:.0%}. Packets are forwarded in the sender's context, so
the router's work is part of the clients' and servers' shares. nginx's count of requests differs from the clients' by {beside:+,}.

The paper's means are 5 to 6 thousand DNS queries and 35 to 40 thousand HTTP requests per second.
"""
