"""Write the generated parts of the documentation: reasons, runbook, command options, configuration keys, JSON, measured figures.

The manual pages in docs/man are generated as a whole (`man_pages`).

The figures come from docs/scale.json, which `make bench ARGS=--publish` writes, and from docs/reliability.json, which
`make torture ARGS=--publish` writes.

`python docs/generate.py` writes each part between its markers, and each page. With `--check` it changes nothing, and ends with 1 if a
part is out of date.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import man_pages

from sslctl.cli.main import sslctl
from sslctl.cli.output import schemas
from sslctl.cli.output.schemas import archives, differences, domains, imports, operations
from sslctl.cli.output.schemas.commands import COMMANDS
from sslctl.cli.output.schemas.domains import WORDS
from sslctl.config import settings
from sslctl.metrics.families import METRICS
from sslctl.rules.next_command import next_command
from sslctl.rules.reasons import REASONS, Status

ROOT = Path(__file__).resolve().parent.parent
# An object that has this many fields of another one is shown without them.
_FEW_FIELDS = 4


def reasons() -> str:
    """Return the tables of reasons, one for each status, in the order of precedence."""
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


def runbook() -> str:
    """Return an entry for each reason code: the facts of the table, and the hand-written part in docs/runbook.toml."""
    written = tomllib.loads((ROOT / "docs" / "runbook.toml").read_text())
    ends = written["ends"]
    parts = []
    for status in Status:
        parts.append(f"## {status}" if status is not Status.SUCCESS else "## Warnings of domains in Success")
        for code, reason in REASONS.items():
            if reason.status is status:
                entry = written[code]
                lines = (
                    f"### {code}",
                    "",
                    _plain(reason.sentence),
                    "",
                    f"- **Who acts:** {reason.owner}",
                    f"- **Verify:** {entry['verify']}",
                    f"- **Do:** {reason.next_step}",
                    f"- **First command:** `{next_command(code, ['DOMAIN'])}`",
                    f"- **How it ends:** {ends.get(entry['ends'], entry['ends'])}",
                )
                parts.append("\n".join(lines))
    return "\n\n".join(parts)


def commands() -> str:
    """Return the help text of every command, as `--help` prints it at 100 columns."""
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
    """Return the table of configuration keys with their environment variables and defaults."""
    rows = [
        f"| `{section}.{key}` | {_variable(section, key)} | {_shown(default)} |"
        for section, key, default in settings.keys()
    ]
    return "\n".join(["| key | environment | default |", "|---|---|---|", *rows])


def _variable(section: str, key: str) -> str:
    is_table = (section, key) in settings.ARRAYS_OF_TABLES
    return "only in the file" if is_table else f"`SSLCTL_{section.upper()}_{key.upper()}`"


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ", ".join(f"`{item}`" for item in default) or "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default not in (None, "") else "none"


def json_output() -> str:
    """Return the table of the fields of every command with `--json`, each with the commands that have it."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for command, output in COMMANDS.items():
        for result in output.results:
            where = " ".join(filter(None, [f"`{command}`", result.when]))
            for name, schema in result.fields.items():
                found.setdefault((f"`{name}`", _type(schema), schema["description"]), []).append(where)
    rows = [(name, ", ".join(where), kind, text) for (name, kind, text), where in found.items()]
    version = [
        (f"`{name}`", "all", _type(schema), schema["description"]) for name, schema in schemas.VERSION.items()
    ]
    return _table(("field", "in", "value", "contents"), version + rows)


def json_error() -> str:
    """Return the table of the fields of the output if an error ended the command."""
    return _fields(schemas.ERROR)


def json_words() -> str:
    """Return the table of the values that are no objects."""
    rows = [(f"`{name}`", schema["description"], _values(schema)) for name, schema in WORDS.items()]
    return _table(("value", "contents", "one of"), rows)


def json_objects(shapes: Mapping[str, Any]) -> str:
    """Return for each of `shapes` a heading and the table of its fields, without those of an object that it extends."""
    parts = []
    known: dict[str, dict[str, Any]] = {}
    for name, schema in shapes.items():
        fields = schema["properties"]
        base = max(
            (
                other
                for other, its in known.items()
                if len(its) >= _FEW_FIELDS and all(fields.get(field) == each for field, each in its.items())
            ),
            key=lambda other: len(known[other]),
            default=None,
        )
        known[name] = fields
        own = {field: each for field, each in fields.items() if base is None or field not in known[base]}
        also = "" if base is None else f", with all fields of [`{base}`](#{base}) and"
        parts.append(f"### {name}\n\n{schema['description']}{also}:\n\n{_fields(own)}")
    return "\n\n".join(parts)


def _fields(fields: Mapping[str, Any]) -> str:
    rows = [(f"`{name}`", _type(schema), schema["description"]) for name, schema in fields.items()]
    return _table(("field", "value", "contents"), rows)


def _type(schema: Mapping[str, Any]) -> str:
    """Return which values `schema` allows, as a cell of a table."""
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{'words' if name in WORDS else name})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return " or ".join("`null`" if kind == "null" else _kind(kind, schema) for kind in kinds)


def _kind(kind: str, schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return _values(schema)
    if kind == "array":
        return f"array of {_type(schema['items'])}"
    words = {"date-time": "time", "date": "day"}
    return words.get(schema.get("format", ""), {"boolean": "`true` or `false`"}.get(kind, kind))


def _values(schema: Mapping[str, Any]) -> str:
    return ", ".join(f"`{value}`" for value in schema["enum"] if value is not None)


def machine() -> str:
    """Return a description of the machine on which the figures of docs/scale.md were measured."""
    return "\n".join(f"- {what}: {found}" for what, found in _measured()["machine"].items())


def figures(part: str) -> str:
    """Return the results of the benchmark `part` against their targets, and its tables."""
    found = _measured()["parts"].get(part)
    if found is None:
        return "Not measured yet."
    columns = ("what", "wanted", "measured", "result")
    blocks = [_table(columns, [[row[column] for column in columns] for row in found["rows"]])]
    blocks += [f"{table['title']}:\n\n{_table(table['head'], table['rows'])}" for table in found["tables"]]
    return "\n\n".join(blocks)


def capacity() -> str:
    """Return a table of how long the work of a fleet takes at the measured rates."""
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


def faults() -> str:
    """Return the results of `make torture ARGS=--publish`: for each class of faults, its cases."""
    return "\n\n".join(
        f"### {found['title']}\n\nWanted: {found['target']}. `make torture ARGS={name}`, {found['measured_on']},"
        f" {_duration(found['seconds'])}.\n\n{_cases(found['cases'])}"
        for name, found in _measured("reliability")["classes"].items()
    )


def _cases(cases: Sequence[dict[str, Any]]) -> str:
    columns = ("fault", "tries", "verdict", "found")
    rows = [[case[column].replace("|", "\\|") for column in columns] for case in cases]
    return _table(("fault", "tries", "invariants", "observed"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"  # noqa: PLR2004 - two of a unit are worth its name


def metrics() -> str:
    """Return the table of metrics."""
    rows = [
        (f"`{metric.name}`", metric.type, ", ".join(f"`{label}`" for label in metric.labels), metric.meaning)
        for metric in METRICS
    ]
    return _table(("metric", "type", "labels", "meaning"), rows)


PARTS = (
    ("docs/monitoring.md", "metrics", metrics),
    ("docs/reasons.md", "reasons", reasons),
    ("docs/runbook.md", "runbook", runbook),
    ("docs/configuration.md", "keys", keys),
    ("docs/commands.md", "commands", commands),
    ("docs/json.md", "output", json_output),
    ("docs/json.md", "error", json_error),
    ("docs/json.md", "words", json_words),
    ("docs/json.md", "domains", partial(json_objects, domains.SHAPES)),
    (
        "docs/json.md",
        "operations",
        partial(
            json_objects, {**operations.SHAPES, **differences.SHAPES, **imports.SHAPES, **archives.SHAPES}
        ),
    ),
    ("docs/scale.md", "machine", machine),
    ("docs/scale.md", "issuance", partial(figures, "issuance")),
    ("docs/scale.md", "ticks", partial(figures, "ticks")),
    ("docs/scale.md", "scale", partial(figures, "scale")),
    ("docs/scale.md", "earlier", partial(figures, "earlier")),
    ("docs/scale.md", "page", partial(figures, "page")),
    ("docs/scale.md", "million", partial(figures, "million")),
    ("docs/scale.md", "years", partial(figures, "years")),
    ("docs/scale.md", "hosts", partial(figures, "hosts")),
    ("docs/scale.md", "capacity", capacity),
    ("docs/reliability.md", "faults", faults),
)


def fill(text: str, part: str, content: str) -> str:
    """Return `text` with `content` between the markers of `part`. Raise `ValueError` if they are missing."""
    begin, end = f"<!-- begin {part} -->", f"<!-- end {part} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"no markers for {part}")
    return f"{before}{begin}\n{content}\n{end}{after}"


def write_pages(*, only_check: bool) -> list[str]:
    """Write the manual pages, and delete those of commands that are gone. Return the names of what was out of date."""
    wanted = man_pages.pages()
    present = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / man_pages.FOLDER).iterdir()}
    stale = [name for name in sorted({*wanted, *present}) if wanted.get(name) != present.get(name)]
    for name in [] if only_check else stale:
        if name in wanted:
            (ROOT / name).write_text(wanted[name])
        else:
            (ROOT / name).unlink()
    return stale


def main() -> int:
    """Write every part and page, or with `--check` print which are out of date. Return the exit code."""
    only_check = "--check" in sys.argv
    stale = write_pages(only_check=only_check)
    for name, part, render in PARTS:
        path = ROOT / name
        text = path.read_text()
        filled = fill(text, part, render())
        # The wrapping of help texts depends on the installed version of click, so white space does not count.
        if filled.split() != text.split():
            stale.append(f"{name} ({part})")
            if not only_check:
                path.write_text(filled)
    if stale and only_check:
        print("out of date, run `make docs`:", ", ".join(stale))  # noqa: T201 - a script
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
