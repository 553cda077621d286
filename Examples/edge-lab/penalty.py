"""E5: what steering costs, from scripts/bench."""
import json

import figures

TITLE = "E5: overhead"


def run(context):
    with open(context.tools.penalty) as file:
        measures = [json.loads(line) for line in file]
    return [measure for measure in measures if measure["measure"] in ("udp", "tcp")]


def section(result, output):
    rows = []
    for measure in result:
        cases = {}
        for figure in measure["figures"]:
            cases[figure["traffic"], figure["unit"], figure["name"]] = figure
        for (traffic, unit, name), figure in cases.items():
            if name != "steered" or unit.startswith("CPU"):
                continue
            without = cases[traffic, unit, "INADDR_ANY"]
            rows.append([measure["measure"], traffic, unit, f"{1e9 / without['best']:,.0f}", f"{1e9 / figure['best']:,.0f}",
                         *(f"{100 * (without[key] / figure[key] - 1):+.1f} %" for key in ("best", "median"))])
    commands = ", ".join(f"`{measure['command']}`" for measure in result)
    return f"""\
*Real*: {commands}. A steered /20 with 13 ports, and one socket bound to every address, in turns.

{figures.table(["", "traffic", "unit", "without, per second", "with, per second", "best", "median"], rows)}
The paper reports 1 to 5 % fewer packets and connections per second.
"""
