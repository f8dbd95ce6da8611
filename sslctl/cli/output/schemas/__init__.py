"""The JSON Schema (draft 2020-12) of what each command prints with `--json`.

A field is described here alone: `sslctl schema` prints it, and docs/generate.py writes it into docs/json.md. A test compares
each output of a command in the tests with its schema (`tests.support.json_schemas`). Only `sslctl schema` imports this.
"""

from __future__ import annotations

from typing import Any

from sslctl import __version__
from sslctl.cli.output.json_shapes import SCHEMA_VERSION
from sslctl.cli.output.schemas import archives, differences, domains, imports, operations
from sslctl.cli.output.schemas.commands import COMMANDS, Result
from sslctl.cli.output.schemas.words import Fields, Schema, named, ref, shape

DEFINITIONS: dict[str, Schema] = {
    **domains.WORDS,
    **domains.SHAPES,
    **operations.SHAPES,
    **differences.SHAPES,
    **imports.SHAPES,
    **archives.SHAPES,
}
"""The definitions that schemas share, by name."""

VERSION: Fields = {
    "schema_version": {
        "const": SCHEMA_VERSION,
        "description": "changes if a field is renamed or removed, or gets another meaning",
    }
}
ERROR: Fields = {**VERSION, **operations.ERROR}
"""The fields of the output if an error ended the command."""


def make_schema(command: str) -> dict[str, Any]:
    """Return the schema of the output of `command`, which is a key of `COMMANDS`."""
    contents, results = COMMANDS[command]
    own = {result.name: _of_result(result) for result in results}
    own["error"] = shape("The output if an error ended the command before it had a result", ERROR)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:sslctl:json:{SCHEMA_VERSION}:{command.replace(' ', ':')}",
        "$comment": f"Of sslctl {__version__}. Later releases may add fields and values: ignore what you do not know.",
        "title": f"sslctl {command} --json",
        "description": contents,
        "anyOf": [ref(name) for name in own],
        "$defs": own | _definitions_of(own),
    }


def _of_result(result: Result) -> Schema:
    return shape(f"The output {result.when or 'of the command'}", {**VERSION, **result.fields})


def _definitions_of(own: dict[str, Schema]) -> dict[str, Schema]:
    """Return the definitions that `own` needs, directly or through others, in the order of `DEFINITIONS`."""
    needed: set[str] = set()
    found = named(list(own.values()))
    while found - needed:
        needed |= found
        found = named([DEFINITIONS[name] for name in needed])
    return {name: schema for name, schema in DEFINITIONS.items() if name in needed}
