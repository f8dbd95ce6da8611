"""The help texts on a terminal with 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from sslctl.cli.main import sslctl

COLUMNS = 80


def _contexts(command: click.Command, parent: click.Context | None, name: str) -> Iterator[click.Context]:
    # click keeps the help option of a command that it shows first, so it must have the names that it has in sslctl.
    names = sslctl.context_settings["help_option_names"]
    context = click.Context(
        command, parent=parent, info_name=name, terminal_width=COLUMNS, help_option_names=names
    )
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _contexts(found, context, child)


CONTEXTS = list(_contexts(sslctl, None, "sslctl"))
GROUPS = [context for context in CONTEXTS if isinstance(context.command, click.Group)]


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.command_path)
def test_help_cuts_no_sentence_and_fits_80_columns(context: click.Context) -> None:
    usage, _, text = context.get_help().partition("\n\n")
    assert usage.startswith("Usage: ")
    # click ends a text that it cut with three dots.
    assert "..." not in text
    assert max(map(len, text.splitlines())) <= COLUMNS


@pytest.mark.parametrize("context", GROUPS, ids=lambda context: context.command_path)
def test_each_command_of_a_group_is_one_line_with_a_whole_sentence(context: click.Context) -> None:
    group = context.command
    assert isinstance(group, click.Group)
    _, _, table = context.get_help().partition("\nCommands:\n")
    rows = [row.strip().partition(" ") for row in table.splitlines()]
    assert [name for name, _, _ in rows] == group.list_commands(context)
    assert [text for _, _, text in rows if not text.endswith(".")] == []
