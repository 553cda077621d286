"""Upgrades the program, and applies policies, while clients connect: none may fail.

TCP connections and UDP exchanges, IPv4 and IPv6, go to random addresses that are steered to servers on loopback;
readers list the bindings all the time, and must always find one whole policy. Ends after the given numbers of
upgrades and connections.

    scripts/harness upgrade-under-load --steer .build/release/steer [--upgrades 100] [--connections 100000]

Prints one line of JSON; exits 1 if anything failed, or the counters lost a packet.
"""
import argparse
import json
import time

from support import Failed, bindings, fork, policy, run_in_lab
from traffic import Traffic, ask_tcp


def read_on(lab, states, stopping, reads, complaints):
    while not stopping.value:
        try:
            found = bindings(lab.steer("bindings", "--json"))
            if found not in states:
                raise Failed(f"a reader found {len(found)} bindings, which match no policy that was applied")
        except Failed as failure:
            complaints.put(str(failure))
        reads.value += 1


def run(lab, options, problems):
    lab.steer("load")
    files = [lab.file(f"policy-{variant}.json", policy(variant, 20 + 80 * variant)) for variant in range(3)]
    states = []
    for file in files:
        lab.steer("apply", file)
        states.append(bindings(lab.steer("bindings", "--json")))
    traffic = Traffic(clients=options.clients)
    traffic.serve(lab)
    sockets = lab.steer("sockets", "--json")
    stopping, reads, complaints = fork.RawValue("b", 0), fork.RawValue("Q", 0), fork.SimpleQueue()
    reader = fork.Process(target=read_on, args=(lab, states, stopping, reads, complaints), daemon=True)
    reader.start()
    begun = time.monotonic()
    traffic.start()

    upgrades = applied = 0
    while upgrades < options.upgrades or traffic.total(ask_tcp) < options.connections:
        # Spread over the whole time, and none left out at its end.
        if upgrades >= options.upgrades or upgrades * options.connections > options.upgrades * traffic.total(ask_tcp):
            time.sleep(0.005)
            continue
        lab.steer("upgrade")
        upgrades += 1
        lab.steer("apply", files[upgrades % len(files)])
        applied += 1
    if lab.steer("sockets", "--json") != sockets:
        problems.append("the registered sockets differ")
    counted, failures = traffic.stop()
    seconds = time.monotonic() - begun
    stopping.value = 1
    reader.join(60)
    while not complaints.empty():
        problems.append(complaints.get())
    if counted["failed"]:
        problems.append(f"{counted['failed']} failed: {failures}")
    # Each connection is at least one lookup, and so is each datagram of a client.
    [label] = [label for label in json.loads(lab.steer("status", "--json"))["labels"] if label["label"] == "steady"]
    if label["misses"] or label["lookups"] < counted["tcpConnections"] + counted["udpExchanges"]:
        problems.append(f"{label['lookups']} lookups and {label['misses']} misses were counted")
    lab.steer("unload")
    return {"upgrades": upgrades, "applied": applied, **counted, "lookups": label["lookups"], "reads": reads.value,
            "seconds": round(seconds, 1)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steer", required=True)
    parser.add_argument("--upgrades", type=int, default=100)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=2, help="clients per protocol and family")
    options = parser.parse_args()
    run_in_lab(run, options)


main()
