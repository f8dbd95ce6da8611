"""What was measured: rows that are compared with a target, and tables without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: `value` is the median of `runs`, in `unit`; `wanted` is a floor or a ceiling."""

    what: str
    unit: str
    wanted: float
    is_floor: bool
    runs: tuple[float, ...]
    note: str = ""

    @property
    def value(self) -> float | None:
        """The median; None if it could not be measured, with the reason in `note`."""
        return median(self.runs) if self.runs else None

    @property
    def verdict(self) -> str:
        """`met`, `short by 12 %`, or `not measured`."""
        if self.value is None:
            return "not measured"
        short = (self.wanted - self.value if self.is_floor else self.value - self.wanted) / self.wanted
        return "met" if short <= 0 else f"short by {max(1, round(short * 100))} %"

    @property
    def shown(self) -> dict[str, str]:
        """The row as text, by column."""
        comparison = "at least" if self.is_floor else "under"
        spread = f" ({number(min(self.runs))} to {number(max(self.runs))})" if len(self.runs) > 1 else ""
        found = "-" if self.value is None else f"{number(self.value)} {self.unit}{spread}"
        return {
            "what": self.what,
            "wanted": f"{comparison} {number(self.wanted)} {self.unit}",
            "measured": found,
            "result": f"{self.verdict}: {self.note}" if self.note else self.verdict,
        }


def at_least(what: str, wanted: float, unit: str, runs: Sequence[float], note: str = "") -> Row:
    """Return the row of a figure that must not be smaller than `wanted`."""
    return Row(what, unit, wanted, is_floor=True, runs=tuple(runs), note=note)


def under(what: str, wanted: float, unit: str, runs: Sequence[float], note: str = "") -> Row:
    """Return the row of a figure that must not be larger than `wanted`."""
    return Row(what, unit, wanted, is_floor=False, runs=tuple(runs), note=note)


@dataclass(frozen=True, slots=True)
class Table:
    """Figures without a verdict."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(slots=True)
class Part:
    """What one part of the bench found. `facts` are the figures from which others are computed."""

    rows: list[Row] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)


def number(value: float) -> str:
    """Return a figure with three significant digits and thousands separators: `0.142`, `31.4`, `1,720`."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
