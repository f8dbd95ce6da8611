"""What `note`, `assign`, `customer` and `snooze` have in common: their arguments, and what they print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.cli.completion_names import complete_name
from sslctl.cli.name_lists import from_file_option, print_some, read_managed
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.outcomes import domains_json
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.output.summary import Phrase, print_done
from sslctl.errors import BadInput, Exit, SslctlError
from sslctl.fleet import remarks
from sslctl.rules import names
from sslctl.rules.model import Domain
from sslctl.rules.remarks import Remarks

_MOST_PRINTED = 100
_CHANGED = Phrase("was changed", "were changed")


@dataclass(frozen=True, slots=True)
class Given:
    """What was given to a command `[DOMAIN]... [VALUE]`.

    `words` are its arguments, `value` is that of its `option`, `metavar` the name of the value in the help.
    """

    words: Sequence[str]
    value: str | None
    clear: bool
    file: BinaryIO | None
    as_json: bool
    metavar: str
    option: str

    def split(self, app: App) -> tuple[Sequence[str], str]:
        """Return the names and the value. A value that is to be removed is empty.

        Two words are a name and the value, as in `sslctl note NAME TEXT`. With `value` or `clear`, all words are names. Raise
        `click.UsageError` if it is not clear which word is what: if the value is missing, a second domain stands in its place.
        """
        words, metavar, option = self.words, self.metavar, self.option
        if self.clear and self.value is not None:
            raise click.UsageError(f"--clear and {option} exclude each other")
        if self.clear:
            return words, ""
        if self.value is not None:
            return words, self.value
        if self.file is not None:
            raise click.UsageError(f"with --from-file, give {option} {metavar}, or --clear")
        if len(words) == 1:
            raise click.UsageError(f"give the {metavar} after the domain, or --clear")
        if len(words) > 2:  # noqa: PLR2004 - a name and a value
            raise click.UsageError(
                f"put quotes around the {metavar}; for several domains write it as {option} {metavar}"
            )
        if not words:
            raise click.UsageError(f"name a domain and the {metavar}")
        name, value = words
        if _is_managed(app, value):
            raise click.UsageError(
                f"{value} is a managed domain; if it is the {metavar}, write {option} {value}, otherwise give the {metavar} too"
            )
        return [name], value


def value_arguments(
    metavar: str, option: str, option_help: str, clear_help: str
) -> Callable[[Callable[[App, Given], int]], Callable[..., int]]:
    """Return a decorator that adds the arguments of a command `[DOMAIN]... [VALUE]`. The command gets them as one `Given`."""

    def decorate(function: Callable[[App, Given], int]) -> Callable[..., int]:
        @click.argument("words", metavar=f"[DOMAIN]... [{metavar}]", nargs=-1, shell_complete=complete_name)
        @click.option(option, "value", metavar=metavar, help=option_help)
        @click.option("--clear", is_flag=True, help=clear_help)
        @from_file_option
        @json_option
        @click.pass_obj
        @wraps(function)
        def call(
            app: App,
            *,
            words: tuple[str, ...],
            value: str | None,
            clear: bool,
            from_file: BinaryIO | None,
            as_json: bool,
        ) -> int:
            return function(app, Given(words, value, clear, from_file, as_json, metavar, option))

        return call

    return decorate


def record_value(
    app: App,
    given: Given,
    read: Callable[[str], str],
    change: Callable[[Domain, str], Remarks],
    describe: Callable[[Domain], str],
    *,
    is_about_customer: bool = False,
) -> int:
    """Record the value that was `given`, checked by `read`, as the remarks that `change` returns. Print and return as `record`."""
    names, text = given.split(app)
    value = read(text)
    return record_for(
        app,
        read_managed(app.store, names, given.file),
        lambda domain: change(domain, value),
        describe,
        as_json=given.as_json,
        is_about_customer=is_about_customer,
    )


def _is_managed(app: App, word: str) -> bool:
    try:
        found = app.store.find(names.normalise(word))
    except BadInput:
        return False
    return found is not None and found.deleted_at is None


def record(
    app: App,
    given: Sequence[str],
    file: BinaryIO | None,
    change: Callable[[Domain], Remarks],
    describe: Callable[[Domain], str],
    *,
    as_json: bool,
) -> int:
    """Record the remarks that `change` returns for each managed domain that is named by `given` and `file`.

    Print each domain as `describe` returns it, and return the exit code. A domain that is refused does not stop the others; the
    error of the only one is raised.
    """
    return record_for(app, read_managed(app.store, given, file), change, describe, as_json=as_json)


def record_for(
    app: App,
    domains: Sequence[Domain],
    change: Callable[[Domain], Remarks],
    describe: Callable[[Domain], str],
    *,
    as_json: bool,
    is_about_customer: bool = False,
) -> int:
    """Record the remarks that `change` returns for each of `domains` (`fleet.remarks.record`). Print and return as `record` does."""
    errors: dict[str, SslctlError]
    errors = remarks.record(app.store, domains, change, is_about_customer=is_about_customer)
    return report_changed(app, domains, errors, describe, as_json=as_json)


def report_changed(
    app: App,
    domains: Sequence[Domain],
    errors: Mapping[str, SslctlError],
    describe: Callable[[Domain], str],
    *,
    as_json: bool,
) -> int:
    """Print what was recorded of `domains`, except of those that `errors` refused. Return the exit code, or raise the error of the only one."""
    if len(domains) == 1:
        for error in errors.values():
            raise error
    print_some([f"error: {error.message}" for error in errors.values()])
    recorded = [domain.name for domain in domains if domain.name not in errors]
    if as_json:
        rows = domains_json(app.store, [domain.name for domain in domains], errors, app.clock())
        write_json_list(json_shapes.envelope(), "domains", rows)
    else:
        _print(app, recorded, describe)
        print_done(len(recorded), len(domains), _CHANGED)
    return Exit.SOME_NOT_WELL if errors else Exit.OK


def _print(app: App, recorded: Sequence[str], describe: Callable[[Domain], str]) -> None:
    for domain in app.store.domains_named(recorded[:_MOST_PRINTED]):
        write_line(f"{domain.name}: {describe(domain)}")
    left = len(recorded) - _MOST_PRINTED
    if left > 0:
        write_line(f"and {left} more like these")


def shown(text: str) -> str:
    """Return a recorded text as it is printed: in quotes, or "none"."""
    return f'"{text}"' if text else "none"
