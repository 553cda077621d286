"""Turns reports of `bench --json`, a line each, into drawings in docs/benchmarks and tables in docs/benchmarks.md."""
import json
import os
import re
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

DOCUMENT = "docs/benchmarks.md"
FOLDER = "docs/benchmarks"
# IDs are hashes of the content, and text stays text: small files that change only where figures do.
plt.rcParams.update({
    "svg.hashsalt": "steering", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3, "axes.axisbelow": True,
    "legend.frameon": False, "path.simplify": True,
})
COLORS = {"steering": "#1f6feb", "LPM trie": "#d9822b", "floor": "#777777"}


def save(figure, name):
    path = f"{FOLDER}/{name}.svg"
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = open(path).read()
    open(path, "w").write("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


def number(text):
    """Returns the first number in a text such as "1,000 bindings"."""
    return int(re.search(r"\d[\d,]*", text)[0].replace(",", ""))


def plot_program(report):
    figures = report["figures"]
    same = [f for f in figures if not f["name"].startswith("random")]
    cases = list(dict.fromkeys(f["name"].split(": ")[0] for f in same if ": " in f["name"]))
    for family in ("IPv4", "IPv6"):
        values = {f["name"]: f["best"] for f in same if f["traffic"] == f"tcp/{family}"}
        figure, axes = plt.subplots(figsize=(8, 0.32 * len(cases) + 1))
        for shift, program in ((-0.2, "steering"), (0.2, "LPM trie")):
            widths = [values.get(f"{case}: {program}", 0) for case in cases]
            places = [row + shift for row in range(len(cases))]
            bars = axes.barh(places, widths, 0.38, label=program, color=COLORS[program])
            axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)
        axes.axvline(values["floor"], color=COLORS["floor"], linestyle="--", label="floor")
        axes.set_yticks(range(len(cases)), cases)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"{same[0]['unit']}, tcp/{family}, one packet over and over")
        axes.legend(loc="lower right")
        save(figure, f"program-{family.lower()}")

    random = [f for f in figures if f["name"].startswith("random") and "bindings" in f["name"]]
    figure, axes = plt.subplots(figsize=(8, 4))
    for program in ("floor", "steering", "LPM trie"):
        for family, line in (("IPv4", "-"), ("IPv6", "--")):
            points = [(number(f["name"]), f["best"]) for f in random
                      if f["traffic"].endswith(family) and f["name"].endswith(program)]
            axes.plot(*zip(*sorted(points)), line, marker="o", markersize=3, color=COLORS[program],
                      label=f"{program}, {family}")
    axes.set(xscale="log", ylim=(0, None), xlabel="bindings", ylabel="ns above empty, random destinations")
    axes.legend(loc="upper left")
    save(figure, "program-bindings")


def plot_control(report):
    for unit, name, label in (("ms", "control", "ms"), ("MiB", "control-memory", "MiB")):
        lines = {}
        for f in report["figures"]:
            if f["unit"] == unit and "bindings" in f["traffic"] and ": " not in f["name"]:
                lines.setdefault(f["name"], []).append((number(f["traffic"]), max(f["best"], 1e-3)))
        figure, axes = plt.subplots(figsize=(8, 4))
        for what, points in lines.items():
            axes.plot(*zip(*sorted(points)), marker="o", markersize=3, label=what)
        grace = [f["best"] for f in report["figures"] if f["name"] == "grace period"]
        if unit == "ms" and grace:
            axes.axhline(grace[0], color=COLORS["floor"], linestyle=":", label="grace period")
        axes.set(xscale="log", yscale="log", xlabel="bindings", ylabel=label)
        axes.legend(loc="upper left")
        save(figure, name)


def plot_ratios(report):
    """Draws any other measure: the ratios of its cases to their references."""
    rows = [f for f in report["figures"] if f.get("bestRatio")]
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(8, 0.22 * len(rows) + 1))
    values = [f["bestRatio"] for f in rows]
    bars = axes.barh(range(len(rows)), values, 0.7, color=COLORS["steering"])
    axes.bar_label(bars, fmt="%.3g", padding=2, fontsize=7)
    axes.set_yticks(range(len(rows)), [f"{f['name']} {f['traffic']}".strip() for f in rows])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.axvline(1, color=COLORS["floor"], linestyle=":")
    if max(values) > 30 * min(v for v in values if v > 0):
        axes.set_xscale("log")
    axes.set_xlabel("ratio to the reference (best to best)")
    save(figure, report["measure"])


def text(value):
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{digits}f}"


def table(report):
    """Returns a table with a row per case and a column per kind of traffic."""
    figures = report["figures"]
    columns = list(dict.fromkeys(f["traffic"] for f in figures))
    rows = {}
    for f in figures:
        rows.setdefault((f["name"], f["unit"]), {})[f["traffic"]] = f
    environment = report["environment"]
    lines = [
        f"`{report['command']}`; Linux {environment['kernel']} {environment['architecture']}, "
        f"{environment['cores']} x {environment['processor']}, {environment['date']}"
        f"{', real-time' if environment['isRealTime'] else ''}. "
        "Best; in brackets the ratio to the reference, of the best and of the medians.", "",
        "| " + " | ".join(["", "unit"] + [c.replace("/", " ") for c in columns] + ["reference"]) + " |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for (name, unit), cells in rows.items():
        line = [name, unit]
        for column in columns:
            f = cells.get(column)
            ratios = [text(f[key]) for key in ("bestRatio", "medianRatio") if f and f.get(key) is not None]
            line.append(text(f["best"]) + (f" ({'; '.join(ratios)})" if ratios else "") if f else "")
        lines.append("| " + " | ".join(line + [next(iter(cells.values())).get("reference") or ""]) + " |")
    return "\n".join(lines + [""] + [f"* {note}" for note in report["notes"]])


def main():
    os.makedirs(FOLDER, exist_ok=True)
    reports = {}
    for path in sys.argv[1:]:
        for line in open(path):
            if line.startswith("{"):
                report = json.loads(line)
                reports[report["measure"]] = report
    document = open(DOCUMENT).read()
    for name, report in reports.items():
        {"program": plot_program, "control": plot_control}.get(name, plot_ratios)(report)
        marked = re.compile(rf"(<!-- figures of {name} -->\n).*?(<!-- end -->)", re.S)
        if not marked.search(document):
            sys.exit(f"bench-plots: {DOCUMENT} lacks a line '<!-- figures of {name} -->' with an '<!-- end -->' after it")
        document = marked.sub(lambda match: f"{match[1]}\n{table(report)}\n\n{match[2]}", document)
    open(DOCUMENT, "w").write(document)


main()
