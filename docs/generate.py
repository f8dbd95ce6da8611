"""Write the parts of the documentation that the code knows best: reasons, options, configuration keys, figures.

The figures are those that `make bench ARGS=--publish` left in docs/scale.json, and `make torture ARGS=--publish` in
docs/reliability.json.

`python docs/generate.py` writes them between their markers; with `--check` it only says whether they are up to date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from sslctl.cli.main import sslctl
from sslctl.config import settings
from sslctl.rules.reasons import REASONS, Status

ROOT = Path(__file__).resolve().parent.parent


def reasons() -> str:
    """Give the tables of reasons, one a status, in the order of precedence."""
    parts = []
    for status in Status:
        rows = [
            f"| `{code}` | {reason.owner} | {_plain(reason.sentence)} | {reason.next_step} |"
            for code, reason in REASONS.items()
            if reason.status is status
        ]
        if rows:
            head = ["| code | who acts | what it means | next step |", "|---|---|---|---|"]
            parts.append("\n".join([f"**{status}**", "", *head, *rows]))
    return "\n\n".join(parts)


def _plain(sentence: str) -> str:
    return sentence.replace("{found}", "…").replace("{wanted}", "…")


def commands() -> str:
    """Give the help of every command, as `--help` prints it at 100 columns."""
    return "\n\n".join(f"## {path}\n\n```text\n{text}\n```" for path, text in _helps(sslctl, None, "sslctl"))


def _helps(command: click.Command, parent: click.Context | None, name: str) -> Iterator[tuple[str, str]]:
    context = click.Context(command, parent=parent, info_name=name, terminal_width=100)
    context.help_option_names = ["-h", "--help"]
    yield context.command_path, command.get_help(context).rstrip()
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None  # noqa: S101 - it was just listed
            yield from _helps(found, context, child)


def keys() -> str:
    """Give the table of configuration keys with their defaults."""
    rows = [
        f"| `{section}.{key}` | `SSLCTL_{section.upper()}_{key.upper()}` | {_shown(default)} |"
        for section, key, default in settings.keys()
    ]
    return "\n".join(["| key | environment | default |", "|---|---|---|", *rows])


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ", ".join(f"`{item}`" for item in default) or "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default not in (None, "") else "none"


def machine() -> str:
    """Give the machine that the figures of docs/scale.md were measured on."""
    return "\n".join(f"- {what}: {found}" for what, found in _measured()["machine"].items())


def figures(part: str) -> str:
    """Give what the bench's `part` measured, against what is wanted, and its tables."""
    found = _measured()["parts"][part]
    columns = ("what", "wanted", "measured", "result")
    blocks = [_table(columns, [[row[column] for column in columns] for row in found["rows"]])]
    blocks += [f"{table['title']}:\n\n{_table(table['head'], table['rows'])}" for table in found["tables"]]
    return "\n\n".join(blocks)


def capacity() -> str:
    """Give how long what a fleet needs takes at the measured rates."""
    parts = _measured()["parts"]
    orders = parts["issuance"]["facts"]["per_second"]
    ticks = parts["ticks"]["facts"]
    rows = [
        ("1,700 renewals, a night of 100,000 domains", 1_700 / orders),
        ("3,300 renewals, such a night from 2028", 3_300 / orders),
        ("100,000 first certificates", 100_000 / orders),
        ("recheck of 5,000 domains in Failure", 5_000 / ticks["rechecks_per_second"]),
        ("10,000 uploads owed after C4 was down", 10_000 / ticks["uploads_per_second"]),
    ]
    return _table(("work", "time"), [(work, _duration(seconds)) for work, seconds in rows])


def _measured(name: str = "scale") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / f"{name}.json").read_text())
    return found


def harms() -> str:
    """Give what `make torture ARGS=--publish` did and what came of it, one class of harm after the other."""
    return "\n\n".join(
        f"### {found['title']}\n\nWanted: {found['target']}. `make torture ARGS={name}`, {found['measured_on']},"
        f" {_duration(found['seconds'])}.\n\n{_cases(found['cases'])}"
        for name, found in _measured("reliability")["classes"].items()
    )


def _cases(cases: Sequence[dict[str, Any]]) -> str:
    columns = ("harm", "tries", "verdict", "found")
    rows = [[case[column].replace("|", "\\|") for column in columns] for case in cases]
    return _table(("what was done", "times", "the invariants", "what was seen"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"  # noqa: PLR2004 - two of a unit are worth its name


PARTS = (
    ("README.md", "reasons", reasons),
    ("README.md", "keys", keys),
    ("docs/commands.md", "commands", commands),
    ("docs/scale.md", "machine", machine),
    ("docs/scale.md", "issuance", partial(figures, "issuance")),
    ("docs/scale.md", "ticks", partial(figures, "ticks")),
    ("docs/scale.md", "scale", partial(figures, "scale")),
    ("docs/scale.md", "capacity", capacity),
    ("docs/reliability.md", "harms", harms),
)


def fill(text: str, part: str, content: str) -> str:
    """Put `content` between the markers of `part`. Raises `ValueError` where they are missing."""
    begin, end = f"<!-- begin {part} -->", f"<!-- end {part} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"no markers for {part}")
    return f"{before}{begin}\n{content}\n{end}{after}"


def main() -> int:
    """Fill every part, or with `--check` say which are out of date; give the exit code."""
    stale = []
    for name, part, give in PARTS:
        path = ROOT / name
        text = path.read_text()
        filled = fill(text, part, give())
        # How help texts are wrapped is the business of the version of click that is installed.
        if filled.split() != text.split():
            stale.append(f"{name} ({part})")
            if "--check" not in sys.argv:
                path.write_text(filled)
    if stale and "--check" in sys.argv:
        print("out of date, run `make docs`:", ", ".join(stale))  # noqa: T201 - a script
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
