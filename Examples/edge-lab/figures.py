"""Figures of a distribution of requests over addresses, and tables and plots of them."""
import math

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "edge-lab", "svg.fonttype": "none", "font.size": 9, "axes.grid": True,
                            "grid.alpha": 0.3, "figure.figsize": (7.2, 3.6), "legend.frameon": False})
import matplotlib.pyplot as plt  # noqa: E402


def histogram(path):
    """What a file of lines `ADDRESS COUNT` says."""
    with open(path) as file:
        return {address: int(count) for address, count in (line.split() for line in file)}


def distribution(counts, size):
    """How requests spread over a pool of so many addresses; those that are not there have none."""
    ordered = sorted(counts, reverse=True) + [0] * (size - len(counts))
    total = sum(ordered)
    ranked = sum(rank * count for rank, count in enumerate(ordered, 1))
    # A curve of at most some 300 points is what a logarithmic axis shows.
    ranks = sorted({min(size, round(math.exp(step / 300 * math.log(size + 1)))) or 1 for step in range(301)})
    return {
        "addresses": size, "requests": total, "max": ordered[0], "mean": total / size, "min": ordered[-1],
        "p50": ordered[size // 2], "p99": ordered[size // 100],
        "maxToMean": ordered[0] * size / total, "p99ToP50": ordered[size // 100] / max(ordered[size // 2], 1),
        "gini": (size + 1 - 2 * ranked / total) / size,
        "curve": [[rank, ordered[rank - 1]] for rank in ranks],
    }


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def number(value):
    """A figure, as short as it says something."""
    if isinstance(value, int) or value == int(value) and abs(value) >= 100:
        return f"{int(value):,}"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def draw(path, title, x, y, paint, logarithmic=""):
    """Draws with `paint(axes)` and writes an SVG file that is the same for the same figures."""
    figure, axes = plt.subplots()
    paint(axes)
    axes.set(title=title, xlabel=x, ylabel=y)
    if "x" in logarithmic:
        axes.set_xscale("log")
    if "y" in logarithmic:
        axes.set_yscale("log")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3)
    figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    plt.close(figure)
