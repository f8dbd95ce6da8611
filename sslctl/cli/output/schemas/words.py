"""The words in which the schemas are written: one short function for each kind of value.

Each returns a JSON Schema (draft 2020-12) as a dict. A description begins in lower case, because docs/json.md shows it in a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]
Fields = dict[str, Schema]

_DEFINITIONS = "#/$defs/"


def string(description: str) -> Schema:
    """Return the schema of a text."""
    return {"type": "string", "description": description}


def integer(description: str) -> Schema:
    """Return the schema of a whole number that may be negative."""
    return {"type": "integer", "description": description}


def number(description: str, least: int = 0) -> Schema:
    """Return the schema of a number of things, which is at least `least`."""
    return {"type": "integer", "minimum": least, "description": description}


def boolean(description: str) -> Schema:
    """Return the schema of `true` or `false`."""
    return {"type": "boolean", "description": description}


def time(description: str) -> Schema:
    """Return the schema of a time in UTC, to the second (RFC 3339)."""
    pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
    return {"type": "string", "format": "date-time", "pattern": pattern, "description": description}


def date(description: str) -> Schema:
    """Return the schema of a day, such as `2026-11-24`."""
    return {"type": "string", "format": "date", "description": description}


def fingerprint(description: str) -> Schema:
    """Return the schema of the SHA-256 fingerprint of a certificate."""
    return {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": description}


def choice(values: Iterable[str], description: str) -> Schema:
    """Return the schema of one of `values`, such as the members of a `StrEnum`."""
    return {"type": "string", "enum": [str(value) for value in values], "description": description}


def exit_code(codes: Iterable[int], description: str) -> Schema:
    """Return the schema of one of the exit codes `codes`."""
    return {"type": "integer", "enum": [int(code) for code in codes], "description": description}


def array(items: Schema, description: str) -> Schema:
    """Return the schema of an array of `items`."""
    return {"type": "array", "items": items, "description": description}


def ref(name: str, description: str = "") -> Schema:
    """Return a reference to the definition `name`."""
    return {"$ref": f"{_DEFINITIONS}{name}"} | ({"description": description} if description else {})


def array_of(name: str, description: str) -> Schema:
    """Return the schema of an array of the definition `name`."""
    return array(ref(name), description)


def or_null(schema: Schema) -> Schema:
    """Return `schema` for a value that may also be `null`."""
    if "$ref" in schema:
        reference = {"anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}]}
        return reference | {key: value for key, value in schema.items() if key != "$ref"}
    with_null = schema | {"type": [schema["type"], "null"]}
    return with_null | ({"enum": [*schema["enum"], None]} if "enum" in schema else {})


def shape(description: str, fields: Fields) -> Schema:
    """Return the schema of an object that has all of `fields`. It may have more: later releases add some."""
    return {
        "type": "object",
        "description": description,
        "properties": fields,
        "required": list(fields),
    }


def named(schema: object) -> set[str]:
    """Return the names of the definitions to which `schema` refers."""
    if isinstance(schema, dict):
        own = {schema["$ref"].removeprefix(_DEFINITIONS)} if isinstance(schema.get("$ref"), str) else set()
        return own.union(*map(named, schema.values()))
    if isinstance(schema, list):
        return set[str]().union(*map(named, schema))
    return set()
