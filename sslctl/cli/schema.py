"""`sslctl schema`."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import click
from click.shell_completion import CompletionItem

from sslctl.cli.options import json_option
from sslctl.cli.output.json_shapes import envelope
from sslctl.cli.output.schemas import make_schema
from sslctl.cli.output.schemas.commands import COMMANDS
from sslctl.cli.output.stdout import write_json, write_json_list, write_line
from sslctl.cli.output.table import table
from sslctl.text import clean


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the words that continue the path of a command: `shell_complete` of click."""
    typed = tuple(context.params.get(parameter.name or "") or ())
    paths = [tuple(path.split()) for path in COMMANDS]
    found = [path[len(typed)] for path in paths if path[: len(typed)] == typed and len(path) > len(typed)]
    return [CompletionItem(word) for word in dict.fromkeys(found) if word.startswith(incomplete)]


@click.command("schema")
@click.argument("words", metavar="[COMMAND]", nargs=-1, shell_complete=_complete)
@json_option
def command(*, words: tuple[str, ...], as_json: bool) -> None:
    """Print the JSON Schema (draft 2020-12) of what COMMAND prints with --json, or list the commands that have one.

    COMMAND may be of two words: sslctl schema audit list. The schema is that of this release. Later releases may add fields
    and values, so ignore those that you do not know. No configuration and no state is needed.
    """
    if words:
        write_json(make_schema(_find(words)))
    elif as_json:
        rows = ({"command": path, "contents": output.contents} for path, output in COMMANDS.items())
        write_json_list(envelope(), "commands", rows)
    else:
        write_line(table([(path, output.contents) for path, output in COMMANDS.items()]))


def _find(words: Sequence[str]) -> str:
    """Return the path of the command that `words` name. Raise `UsageError` if it has no schema."""
    path = " ".join(" ".join(words).split()).removeprefix("sslctl ")
    if path in COMMANDS:
        return path
    below = [known for known in COMMANDS if path and known.startswith(f"{path} ")]
    near = below or get_close_matches(path, COMMANDS)
    hint = f"did you mean {' or '.join(near)}?" if near else "`sslctl schema` lists those that have one"
    raise click.UsageError(f"{clean(path, 60)!r} is no command with --json; {hint}")
