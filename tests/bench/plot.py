"""The picture of docs/scale.md: time and memory by the number of domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

_OPERATIONS = {
    "tick": "a tick with nothing due",
    "list": "list --json into a file",
    "add": "add --from-file --no-wait",
}
_QUANTITIES = {"seconds": "seconds", "mebibytes": "MiB, the process at its largest"}


def draw(facts: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw the facts of the part `scale` into the PNG file `path`. Needs the extra `bench`."""
    # The bench itself runs without it.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, (quantity, label) in zip(panels, _QUANTITIES.items(), strict=True):
        for operation, what in _OPERATIONS.items():
            panel.plot(facts["counts"], facts[f"{operation}_{quantity}"], marker="o", label=what)
        panel.set(xscale="log", xlabel="domains", ylabel=label)
        panel.set_xticks(facts["counts"], [f"{count:,}" for count in facts["counts"]])
        panel.grid(visible=True, which="major", alpha=0.3)
    panels[0].set(yscale="log")
    panels[1].set_ylim(bottom=0)
    panels[0].plot(*_linear(facts), linestyle=":", color="grey", label="linear")
    panels[0].legend()
    figure.savefig(path, dpi=110)


def _linear(facts: Mapping[str, Sequence[float]]) -> tuple[Sequence[float], list[float]]:
    """Return a line proportional to the domains that ends at the slowest operation."""
    counts = facts["counts"]
    end = max(facts[f"{operation}_seconds"][-1] for operation in _OPERATIONS)
    return counts, [end * count / counts[-1] for count in counts]
