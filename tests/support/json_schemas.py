"""The schemas of the JSON output as tests apply them: closed, so that a field without a description is an error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import takewhile
from typing import Any

from jsonschema_rs import Draft202012Validator, ValidationError, ValidationErrorKind

from sslctl.cli.output.schemas import make_schema
from sslctl.cli.output.schemas.commands import COMMANDS


def check_output(arguments: Sequence[str], output: str) -> None:
    """Fail if `output`, of sslctl with `arguments`, is JSON that the schema of the command does not describe."""
    given = list(takewhile(lambda argument: argument != "--", arguments))
    command = find_command(given)
    if "--json" not in given or command is None:
        return
    try:
        found = json.loads(output)
    except ValueError:  # such as a help text, or an output that broke off
        return
    faults = find_faults(command, found)
    if faults:
        raise AssertionError(f"sslctl {command} --json: {faults}")


def find_command(arguments: Sequence[str]) -> str | None:
    """Return the path of the command that `arguments` run, None if it has no schema. `schema` itself prints one."""
    words = [argument for argument in arguments if not argument.startswith("-")]
    begins = [index for index, word in enumerate(words) if any(path.split()[0] == word for path in COMMANDS)]
    if not begins or words[begins[0]] == "schema":
        return None
    name, *rest = words[begins[0] :]
    two = " ".join([name, *rest[:1]])
    return two if two in COMMANDS else name if name in COMMANDS else None


def find_faults(command: str, output: object) -> list[str]:
    """Return what is wrong with the `output` of `command` according to its closed schema; empty if it is right."""
    faults = [
        [fault for error in each.iter_errors(output) for fault in _explain(error)]
        for each in _validators(command)
    ]
    return min(faults, key=len)


def _explain(error: ValidationError) -> Iterator[str]:
    """Yield where and what `error` is; for a value that none of several schemas allows, what each of them found."""
    if isinstance(error.kind, ValidationErrorKind.AnyOf):
        for branch in error.kind.context:
            for each in branch:
                yield from _explain(each)
    else:
        yield f"{'/'.join(map(str, error.instance_path))}: {error.message}"


@cache
def _validators(command: str) -> list[Draft202012Validator]:
    """Return a validator for each result of `command`."""
    schema = closed(make_schema(command))
    return [Draft202012Validator({"$defs": schema["$defs"], **each}) for each in schema["anyOf"]]


def closed(schema: Any) -> Any:
    """Return `schema` with objects that have no other fields than it names."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(each) for key, each in schema.items()}
    return (
        {**inner, "additionalProperties": False}
        if schema.get("type") == "object" and "properties" in schema
        else inner
    )


def find_used(command: str, outputs: Sequence[object]) -> Iterator[str]:
    """Yield the definitions that occur in the `outputs` of `command`: without one of them, an output would be wrong."""
    schema = make_schema(command)
    for name in schema["$defs"]:
        definitions = {**schema["$defs"], name: False}
        validator = Draft202012Validator({**schema, "$defs": definitions})
        if not all(validator.is_valid(output) for output in outputs):
            yield name
