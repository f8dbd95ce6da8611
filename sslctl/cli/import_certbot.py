"""`sslctl import certbot`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.errors import print_error
from sslctl.cli.output.state import print_created
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.output.summary import print_summary
from sslctl.errors import BadInput, Exit, SslctlError
from sslctl.fleet.lineage_import import Acceptance, Action, Imported, LineageImport
from sslctl.issuer.certbot import account_import, lineages
from sslctl.issuer.certbot.account_import import Account
from sslctl.rules.model import Bundle
from sslctl.rules.remarks import read_customer
from sslctl.rules.singapore import format_sgt
from sslctl.text import clean
from sslctl.wording import C4

_MOST_PRINTED = 100
_REPORTED_EVERY = 10_000


@click.command("certbot", short_help="Take over certbot's certificates with keys and history.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("wanted", metavar="[LINEAGE]...", nargs=-1)
@click.option(
    "--account", "with_account", is_flag=True, help="Also take over certbot's account at the configured CA."
)
@click.option("--customer", metavar="NAME", default="", help="Whose the imported domains are.")
@click.option("--dry-run", is_flag=True, help="Only print what would be recorded.")
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    folder: Path,
    wanted: tuple[str, ...],
    with_account: bool,
    customer: str,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Take over the certificates that certbot keeps in DIR, usually /etc/letsencrypt, with their keys and history.

    Each lineage, or each LINEAGE that is named, becomes a managed domain with the source c4, which sslctl renews from then on. It is
    called like the lineage if the certificate has that name, and like the first name of the certificate otherwise.

    Nothing is uploaded by this command, and nothing in DIR is changed. The next tick, or `recheck`, looks at C4. A certificate that C4
    has is recognised, and one that it lacks is uploaded as after an order. Run the command again to take over what certbot has renewed
    since; what is known already does not change.

    A lineage is refused, and the others go on, if its certificate has expired, has a name that sslctl cannot manage such as a
    wildcard, does not fit its key, or is of a CA that browsers do not trust; and if its domain has a text certificate, other names or
    a newer certificate here, or was deleted.

    With --account orders are placed with the same account as before. It is refused if sslctl has an account at this CA already.
    """
    owner, names = read_customer(customer), _choose(folder, wanted)
    account = _find_account(app, folder, names) if with_account else None
    if dry_run:
        app.only_reads = True
        store = app.store if app.has_state() else None
    else:
        if app.make_state():
            print_created(app)
        store = app.store
        if account is not None:
            account_import.take_over(account, app.config.state.acme_dir, app.config.acme.directory_url)
    acceptance = Acceptance(app.config.ca_urls, app.config.acme.profile, partial(_is_trusted, app))
    imports = LineageImport(store, acceptance, app.clock, customer=owner, dry_run=dry_run)
    tally = Counter[Action]()
    done = _count(imports.run(names, partial(lineages.read, folder)), tally, len(names))
    if as_json:
        fields = {"dry_run": True} if dry_run else {}
        write_json_list(
            json_shapes.envelope(**fields, account=_account_json(account)), "lineages", map(_to_json, done)
        )
    else:
        _print_account(account, dry_run=dry_run)
        _print(done, dry_run=dry_run)
    _print_end(tally, len(names), dry_run=dry_run)
    return Exit.SOME_NOT_WELL if tally[Action.REFUSE] else Exit.OK


def _choose(folder: Path, wanted: Sequence[str]) -> list[str]:
    """Return the names of the lineages in `folder`, or those that are `wanted`. Raise `BadInput` if one is not there."""
    names = lineages.find_names(folder)
    missing = sorted(set(wanted) - set(names))
    if missing:
        some = clean(", ".join(names), 200) or "none"
        raise BadInput(
            f"{clean(folder)} has no lineage {clean(missing[0])}; nothing was imported",
            hint=f"it has: {some}",
        )
    return list(dict.fromkeys(wanted)) or names


def _find_account(app: App, folder: Path, names: Sequence[str]) -> Account:
    url = app.config.acme.directory_url
    account_import.require_none(app.config.state.acme_dir, url)
    settings = Counter(lineages.read_settings(folder, name) for name in names)
    return account_import.choose(folder, url, settings)


def _is_trusted(app: App, bundle: Bundle) -> bool:
    trusted = app.trusted_roots
    return trusted.exist and trusted.trust(bundle, app.clock())


def _count(imported: Iterator[Imported], tally: Counter[Action], total: int) -> Iterator[Imported]:
    """Yield what was `imported`, count it in `tally`, and say now and then how far a long import is."""
    for number, each in enumerate(imported, 1):
        tally[each.action] += 1
        yield each
        if number % _REPORTED_EVERY == 0 and number < total:
            click.echo(f"sslctl: {number:,} of {total:,} lineages so far", err=True)


def _print_account(account: Account | None, *, dry_run: bool) -> None:
    if account is None:
        return
    does = "would be taken over" if dry_run else "was taken over"
    others = f"; left out: {clean(', '.join(account.others), 200)}" if account.others else ""
    write_line(f"account {clean(account.id)} ({account.url}): {does}{others}")


def _print(imported: Iterator[Imported], *, dry_run: bool) -> None:
    """Print the first hundred lineages, and the first hundred that were refused. Thousands of lines would hide what matters."""
    printed = refused = 0
    for each in imported:
        if each.error is not None:
            refused += 1
            if refused <= _MOST_PRINTED:
                _print_refused(each.name, each.error)
        else:
            printed += 1
            if printed <= _MOST_PRINTED:
                write_line(_describe(each, dry_run=dry_run))
    if printed > _MOST_PRINTED:
        write_line(f"and {printed - _MOST_PRINTED:,} more like these")
    if refused > _MOST_PRINTED:
        click.echo(f"sslctl: and {refused - _MOST_PRINTED:,} more that were refused", err=True)


def _print_refused(name: str, error: SslctlError) -> None:
    print_error(f"lineage {_shown(name)}: {error.message}", error.hint)


def _shown(name: str) -> str:
    """Return the name of a lineage, which is that of a file: it need be no text in UTF-8."""
    return clean(os.fsencode(name).decode("utf-8", "backslashreplace"))


def _describe(imported: Imported, *, dry_run: bool) -> str:
    number = len(imported.versions)
    if imported.action is Action.NONE:
        return f"{imported.domain}: known already"
    verb = "would be recorded" if dry_run else "recorded"
    newer = "newer " if imported.action is Action.EXTEND else ""
    line = f"{imported.domain}: {number} {newer}certificate{'' if number == 1 else 's'} {verb}"
    if imported.sans:
        line += f", with {', '.join(imported.sans)}"
    line += f", expires {format_sgt(imported.versions[-1].not_after)}"
    return f"{line}; {imported.left_out} unusable left out" if imported.left_out else line


def _print_end(tally: Counter[Action], total: int, *, dry_run: bool) -> None:
    parts = (
        (tally[Action.ADD], "new"),
        (tally[Action.EXTEND], "with newer certificates"),
        (tally[Action.NONE], "known already"),
        (tally[Action.REFUSE], "refused"),
    )
    listed = ", ".join(f"{number:,} {text}" for number, text in parts if number) or "nothing to import"
    lineages_ = "1 lineage" if total == 1 else f"{total:,} lineages"
    print_summary(f"{lineages_}: {listed}{'; nothing was recorded' if dry_run else ''}")
    if not dry_run and tally[Action.ADD] + tally[Action.EXTEND]:
        print_summary(
            f"the next tick, or `sslctl recheck`, compares them with {C4}; end certbot's own renewals of them now, such as with"
            " `systemctl disable --now certbot.timer`"
        )


def _account_json(account: Account | None) -> dict[str, object] | None:
    if account is None:
        return None
    return {"id": clean(account.id), "url": account.url, "left_out": [clean(each) for each in account.others]}


def _to_json(imported: Imported) -> dict[str, object]:
    error, newest = imported.error, imported.versions[-1] if imported.versions else None
    return {
        "lineage": _shown(imported.name),
        "domain": imported.domain or None,
        "action": imported.action,
        "sans": list(imported.sans),
        "certificates": len(imported.versions),
        "left_out": imported.left_out,
        "not_after": json_shapes.instant(newest.not_after if newest else None),
        "error": None if error is None else error.code,
        "message": None if error is None else error.message,
    }
