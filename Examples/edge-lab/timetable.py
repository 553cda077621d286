"""E2: the pool moves /20 -> /24 -> one address and back, under load; and what that saves."""
import collections
import time

import figures
import lab

TITLE = "E2: /20, /24, one address, and back"
STATIONS = [(20, 44), (24, 48), (32, 128), (24, 48), (20, 44)]


def prefixes(station):
    return [f"198.18.0.0/{station[0]}", f"2001:db8:40::/{station[1]}"]


def run(context):
    edge, size = context.edge(), context.size
    marks = [word for station in STATIONS[:3] for prefix in prefixes(station) for word in ("--mark", prefix)]
    rounds = []
    for number in range(1, size.rounds + 1):
        before = edge.answered()
        arguments = ["--names", size.names, "--resolvers", 5000, "--rate", size.move_rate // 2, "--ipv6", 0.3,
                     "--ports", lab.HTTP, "--seconds", 3600, *marks]
        with context.visiting(arguments, timeline=True) as visits:
            time.sleep(size.dwell)
            moves = []
            for old, new in zip(STATIONS, STATIONS[1:]):
                context.say(f"round {number} of {size.rounds}: /{old[0]} to /{new[0]}")
                began = time.time()
                steps = edge.move(*prefixes(new))
                moves.append({"from": old[0], "to": new[0], "began": began, "seconds": time.time() - began, **steps})
                time.sleep(size.dwell)
            while visits.requests() < size.move_requests:
                time.sleep(0.5)
        runs = visits.results
        for move in moves:
            move.update(leaving(move, [line for visit in runs for line in visit["timeline"]]))
        rounds.append({
            "requests": sum(visit["requests"] for visit in runs), "failed": sum(visit["failures"] for visit in runs),
            "queries": sum(visit["queries"] for visit in runs), "connections": sum(visit["connections"] for visit in runs),
            "served": edge.answered() - before, "moves": moves})
    return {"rounds": rounds, "ttl": context.ttl, "rate": size.move_rate, "timeline": by_second(runs)}


def by_second(runs):
    """New connections a second by the part of the pool that they went to."""
    sums = collections.Counter()
    for visit in runs:
        for line in visit["timeline"]:
            sums.update({(int(line["time"]), mark): count for mark, count in line["connections"].items()})
    return [{"time": second, "mark": mark, "connections": count} for (second, mark), count in sorted(sums.items())]


def leaving(move, timeline):
    """When the last answer and the last new connection of an old address were, in seconds from the decision. Only what
    becomes narrower leaves addresses behind."""
    if move["to"] <= move["from"]:
        return {}
    old = prefixes((move["from"], dict(STATIONS)[move["from"]]))

    def last(kind):
        times = (line["time"] - move["began"] for line in timeline if any(line[kind].get(prefix) for prefix in old))
        return max((time for time in times if 0 <= time <= move["seconds"]), default=None)
    return {"lastAnswer": last("answers"), "lastConnection": last("connections")}


def saving():
    """Of 18 /20s, what each station needs."""
    before = 18 * 4096
    return [[f"18 /20s ({before:,} addresses) to {name}", f"{100 * (1 - count / before):.6g} %"]
            for name, count in (("one /20", 4096), ("a /24", 256), ("one address", 1))]


def section(result, output):
    rounds = result["rounds"]
    requests = sum(each["requests"] for each in rounds)
    failed = sum(each["failed"] for each in rounds)
    unserved = sum(each["served"] for each in rounds) - requests
    rows = []
    for old, new in zip(STATIONS, STATIONS[1:]):
        moves = [move for each in rounds for move in each["moves"] if (move["from"], move["to"]) == (old[0], new[0])]

        def span(key):
            values = [move[key] for move in moves if move.get(key) is not None]
            return f"{min(values):.1f} to {max(values):.1f}" if values else "none leave"
        rows.append([f"/{old[0]} to /{new[0]}", span("bound"), span("lastAnswer"), span("lastConnection"), span("seconds")])

    last = rounds[-1]
    start = last["moves"][0]["began"]

    def paint(axes):
        series = {}
        for each in result["timeline"]:
            if each["mark"] != "other":
                series.setdefault(each["mark"], []).append((each["time"] - start, each["connections"]))
        for mark, points in series.items():
            axes.plot(*zip(*points), label=mark, linewidth=1)
        for move in last["moves"]:
            axes.axvline(move["began"] - start, color="grey", linestyle=":", linewidth=1)

    figures.draw(output / "timetable.svg", "New connections per second, by the smallest part of the pool (last round)",
                 "seconds; dotted: a decision", "connections/s", paint)
    return f"""\
*Real*: the six servers, both families (`/20`, `/24`, `/32` of IPv4 also mean `/44`, `/48`, `/128` of IPv6), {result['rate']:,}
requests per second by clients that resolve, cache answers for their TTL of {result['ttl']} s, and connect. Each move is `steer pool move` on
all servers at once: `--until bound`, then `--until quiet`, then the rest.

**{failed} of {requests:,} requests failed**, in {len(rounds)} rounds of {min(each['requests'] for each in rounds):,} or more; {sum(each['queries'] for each in rounds):,} DNS queries,
{sum(each['connections'] for each in rounds):,} connections. nginx's count of requests differs from the clients' by {unserved:+,}.

Seconds from the decision, over all rounds. If the list of names was written just before a server started, the server reads it again
at its first reload; later reloads read only the policy:

{figures.table(["move", "new addresses bound on all", "last answer with an old address", "last new connection to one", "moved, old addresses unbound"], rows)}
![Connections by part](timetable.svg)

| saving | |
|---|---|
""" + "".join(f"| {what} | {share} |\n" for what, share in saving()) + """
The paper reports 94.4 % and 99.7 %: the saving of one /20 and of one /24 against 18 /20s (99.65 %, rounded).
"""
