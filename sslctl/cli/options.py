"""Option types and options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from sslctl.cli.completion_names import complete_assignee
from sslctl.cli.output.stdout import expect_json
from sslctl.errors import BadInput
from sslctl.rules import name_pattern
from sslctl.rules.durations import parse_duration
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code, Owner, Status
from sslctl.rules.singapore import SGT
from sslctl.store.interface.domains import EVERYTHING, Query
from sslctl.text import clean

Function = TypeVar("Function", bound=Callable[..., Any])

# Near the ends of the calendar, adding a time zone or a week would overflow.
_YEARS = range(1970, 9000)


def duration(text: str) -> timedelta:
    """Return the duration in `text`: `14d`, `12h`, `30m` or `2w`. Raise `click.BadParameter` if it is none."""
    try:
        return parse_duration(text)
    except BadInput as error:
        raise click.BadParameter(error.message) from error


def moment(text: str) -> datetime:
    """Return the aware time in `text`, to the second: RFC 3339, or a date and time without a zone in Singapore time.

    Raise `click.BadParameter` if it is none, or not between the years 1970 and 9000.
    """
    # Slow to import, and few commands name a time.
    from dateutil import parser  # noqa: PLC0415

    try:
        at = parser.isoparse(text.strip().replace(" ", "T"))
    except ValueError as error:
        raise click.BadParameter(
            f"{clean(text)!r} is not a time; write 2026-12-01, '2026-12-01 00:05' or 2026-12-01T00:05:00Z"
        ) from error
    if at.year not in _YEARS:
        raise click.BadParameter(f"{clean(text)!r} is not between the years 1970 and 9000")
    return (at if at.tzinfo else at.replace(tzinfo=SGT)).replace(microsecond=0)


def parse_end(text: str, now: datetime) -> datetime:
    """Return the time in `text`, aware and to the second: a `duration` from `now` on, or a `moment`.

    The date of a `moment` may be `today` or `tomorrow`, in Singapore. Raise `click.BadParameter` if `text` is neither.
    """
    word, _, rest = text.strip().partition(" ")
    if re.fullmatch(r"[0-9]+[a-z]", word) and not rest:
        return now + duration(word)
    days = {"today": 0, "tomorrow": 1}.get(word.lower())
    if days is not None:
        day = (now.astimezone(SGT) + timedelta(days=days)).date()
        text = f"{day.isoformat()} {rest.strip()}".strip()
    try:
        return moment(text)
    except click.BadParameter as error:
        raise click.BadParameter(
            f"{clean(text)!r} is not a time; write 2h, 'tomorrow 06:00', '2026-12-01 06:00' or 2026-12-01T06:00:00Z"
        ) from error


def json_option(function: Function) -> Function:
    """Add the option `--json`. With it an error of the command is written as JSON, too."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        callback=_note_json,
        help="Print one JSON object (docs/json.md).",
    )(function)


def _note_json(context: click.Context, _option: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - click's signature
    if value:
        expect_json(context)
    return value


force_option = click.option(
    "--force",
    is_flag=True,
    help="Install a certificate even if it is worse than the one in service: if it expires sooner, or browsers do not trust it.",
)


class AnyCase(click.Choice[str]):
    """A choice, whatever its case. click would complete it in lower case, which is not how it is printed."""

    def __init__(self, choices: Iterable[str]) -> None:
        super().__init__(list(choices), case_sensitive=False)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Return the choices that begin with `incomplete`, whatever its case."""
        wanted = incomplete.lower()
        return [CompletionItem(choice) for choice in self.choices if choice.lower().startswith(wanted)]


class _CodeType(click.ParamType[Code]):
    """A reason code, whatever its case, with hyphens or underscores. The error names the nearest codes: there are many."""

    name = "code"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Code:
        """Return the code in `value`."""
        wanted = str(value).strip().upper().replace("-", "_")
        if wanted in Code.__members__:
            return Code[wanted]
        from difflib import get_close_matches  # noqa: PLC0415 - needed for errors only

        # A part of a code is the likeliest: CAA, CNAME.
        near = [code for code in Code.__members__ if wanted and wanted in code]
        near = near or get_close_matches(wanted, Code.__members__, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "docs/reasons.md lists them all"
        raise click.BadParameter(f"{clean(value, 60)!r} is no reason code; {hint}", ctx, param)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Return the codes that begin with `incomplete`."""
        wanted = incomplete.upper().replace("-", "_")
        return [CompletionItem(code) for code in Code.__members__ if code.startswith(wanted)]


def parse_pattern(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> name_pattern.NamePattern | None:
    """Return the pattern in `value`, None without one. Raise `click.BadParameter` if it cannot be used."""
    if value is None:
        return None
    try:
        return name_pattern.parse(value)
    except BadInput as error:
        raise click.BadParameter(f"{error.message}; {error.hint}" if error.hint else error.message) from error


def suits_deleted(query: Query) -> bool:
    """Return whether `query` restricts only what a deleted domain still has: names, source and customer."""
    return replace(query, pattern=None, source=None, customers=(), deleted=False) == EVERYTHING


def require_filters_of_deleted(filters: Query) -> None:
    """Raise `click.UsageError` if no deleted domain can match `filters`."""
    if not suits_deleted(filters):
        raise click.UsageError(
            "deleted domains have no status, expiry date, reason or warning; with --deleted use only a pattern, --source and "
            "--customer"
        )


def trail_options(function: Function) -> Function:
    """Add the options that select events. The command gets `since`, `actor` and `name`, each empty or None if it is not given."""
    for option in (
        click.option(
            "--domain", "name", metavar="NAME", help="Only events of this domain, managed or deleted."
        ),
        click.option(
            "--actor",
            default="",
            metavar="TEXT",
            help="Only events whose actor (user and terminal) contains TEXT.",
        ),
        click.option(
            "--since",
            type=moment,
            metavar="TIME",
            help="Only events from this time on (Singapore time, or RFC 3339).",
        ),
    ):
        function = option(function)
    return function


match_option = click.option(
    "--match",
    "pattern",
    metavar="PATTERN",
    callback=parse_pattern,
    help="Only domains with a name that matches, as in `sslctl list PATTERN`.",
)

NAMES_OR_FILTERS = "give the names of domains or filters, not both"
"""The usage error of a command that takes either."""

_FILTERS = (
    click.option(
        "--status",
        "statuses",
        multiple=True,
        type=AnyCase(status.value for status in Status),
        help="Only domains in this status; may be repeated.",
    ),
    click.option(
        "--source",
        type=click.Choice([source.value for source in Source]),
        help="Only domains whose certificate has this source.",
    ),
    click.option(
        "--expiring-within",
        type=duration,
        metavar="TIME",
        help="Only certificates that expire within 14d, 12h, …, or have expired.",
    ),
    click.option(
        "--owner",
        "owners",
        multiple=True,
        type=AnyCase(owner.value for owner in Owner),
        help="Only domains for which this one must act, because of the status or of a warning; may be repeated.",
    ),
    click.option(
        "--reason",
        "reasons",
        multiple=True,
        type=_CodeType(),
        metavar="CODE",
        help="Only domains with this reason: of the status, of a renewal that fails, of a warning, or of a step that did not "
        "answer; may be repeated.",
    ),
    click.option(
        "--customer",
        "customers",
        multiple=True,
        metavar="NAME",
        help="Only domains of this customer; may be repeated.",
    ),
    click.option("--no-customer", is_flag=True, help="Only domains without a customer."),
    click.option(
        "--assignee",
        "assignees",
        multiple=True,
        metavar="WHO",
        shell_complete=complete_assignee,
        help="Only domains that are assigned to this one; may be repeated.",
    ),
    click.option("--no-assignee", is_flag=True, help="Only domains that are assigned to nobody."),
    click.option(
        "--warning",
        "warnings",
        multiple=True,
        type=_CodeType(),
        metavar="CODE",
        help="Only domains with this warning, whatever their status; may be repeated.",
    ),
)


def filter_options(function: Function) -> Function:
    """Add the options that select domains. The command gets them as one argument, `filters`, a `Query`.

    An empty customer or assignee stands for none, as in `--no-customer`: the command must not change anything.
    """
    return _add_filters(function, is_empty_refused=False)


def filter_options_of_change(function: Function) -> Function:
    """Add the options that select the domains to change, as `filter_options` does.

    An empty customer or assignee is a usage error: it may come from a shell variable that is not set.
    """
    return _add_filters(function, is_empty_refused=True)


def _add_filters(function: Function, *, is_empty_refused: bool) -> Function:
    def read(option: str, values: tuple[str, ...], *, none: bool) -> tuple[str, ...]:
        """Return the names in `values`, with an empty one if `none` is given."""
        names = tuple(value if value.strip() else "" for value in values)
        if is_empty_refused and "" in names:
            raise click.UsageError(
                f"--{option} is empty; is a shell variable not set? Domains without one are selected with --no-{option}"
            )
        return (*names, "") if none else names

    @wraps(function)
    def call(
        *arguments: Any,
        statuses: tuple[str, ...],
        source: str | None,
        expiring_within: timedelta | None,
        owners: tuple[str, ...],
        reasons: tuple[Code, ...],
        customers: tuple[str, ...],
        no_customer: bool,
        assignees: tuple[str, ...],
        no_assignee: bool,
        warnings: tuple[Code, ...],
        **options: Any,
    ) -> Any:
        filters = Query(
            tuple(map(Status, statuses)),
            Source(source) if source else None,
            expiring_within,
            owners=tuple(map(Owner, owners)),
            reasons=reasons,
            customers=read("customer", customers, none=no_customer),
            assignees=read("assignee", assignees, none=no_assignee),
            warnings=warnings,
        )
        return function(*arguments, filters=filters, **options)

    for option in reversed(_FILTERS):
        call = option(call)
    return call  # type: ignore[return-value]
