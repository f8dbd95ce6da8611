"""Record domains from a table: which are managed, their other names, what people wrote about them, and what was chosen for them.

What is managed already stays as it is, except for what the table has. So a table that was exported, edited and imported again changes what was
edited. A text certificate in it stays one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Protocol

from sslctl.errors import BadInput, SslctlError
from sslctl.fleet import choices, remarks
from sslctl.fleet.enrolment import Action, enrol_many, plan_enrolment
from sslctl.rules.certificate_choice import CONFIGURED, CertificateChange
from sslctl.rules.model import Domain, Source
from sslctl.rules.names import require_few
from sslctl.rules.remarks import Remarks
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.history import History
from sslctl.store.interface.revocations import Revocations
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions

# So many domains are read at once: a table may have 100,000.
_BLOCK = 1000
_REMARKS = ("customer", "note", "assignee")


class _Store(Claims, Domains, History, Revocations, Transactions, Versions, Protocol):
    """What is read and written."""


@dataclass(frozen=True, slots=True)
class Table:
    """The domains of a table with its cells. `sans` has those that have other names, `values` each column's cells by domain."""

    domains: Sequence[str]
    sans: Mapping[str, tuple[str, ...]]
    values: Mapping[str, Mapping[str, str]]

    def cells(self, name: str, columns: Iterable[str]) -> dict[str, str]:
        """Return the cells of the domain `name` in `columns`, without empty ones."""
        return {
            column: self.values[column][name] for column in columns if name in self.values.get(column, ())
        }

    def change(self, name: str) -> CertificateChange:
        """Return what the table chooses for the certificates of the domain `name`."""
        columns = [each.name for each in fields(CertificateChange)]
        chosen = {key: "" if cell == CONFIGURED else cell for key, cell in self.cells(name, columns).items()}
        return CertificateChange(**chosen)

    def require_few_names(self, configured_profile: str) -> None:
        """Raise `BadInput` if a certificate cannot have as many names as a domain of the table."""
        for name, sans in self.sans.items():
            require_few((name, *sans), self.change(name).profile or configured_profile)


@dataclass(slots=True)
class Row:
    """What is done with the domain `name`: `action`, which is `REFUSE` because of `error`. `changes` are the columns that change."""

    name: str
    action: Action
    changes: list[str] = field(default_factory=list)
    error: SslctlError | None = None

    def refuse(self, error: SslctlError) -> None:
        """Note that the domain is refused."""
        self.action, self.error = Action.REFUSE, error


def plan(store: _Store | None, table: Table) -> list[Row]:
    """Return what `record` would do, as far as no other process works on the domains. `store` is None if there is no state yet."""
    rows = {name: Row(name, Action.ADD) for name in table.domains}
    texts = set()
    for block in _blocks(table.domains):
        for domain in store.domains_named(block) if store is not None else ():
            if domain.deleted_at is None:
                row = rows[domain.name]
                row.changes = _find_changes(domain, table)
                row.action = Action.CHANGE if row.changes else Action.NONE
                if domain.source is Source.TEXT:
                    texts.add(domain.name)
                    _refuse_other_orders(row)
    others = [name for name in table.domains if name not in texts]
    planned = plan_enrolment(
        store, others, sans_of=table.sans, customers={}, drop_sans=False, new=False, consents=False
    )
    for each in planned:
        if each.error is not None:
            rows[each.name].refuse(each.error)
    return list(rows.values())


def record(store: _Store, table: Table, now: datetime, *, configured_profile: str) -> list[Row]:
    """Record the domains of `table`, and return what was done with each.

    A domain that another process works on is refused, and the rest go on. Raise `StateError`; what was recorded before it stays.
    """
    rows = plan(store, table)
    wanted = {row.name: row for row in rows if row.action in (Action.ADD, Action.CHANGE)}
    enrolled = [name for name, row in wanted.items() if row.action is Action.ADD or "sans" in row.changes]
    refused = enrol_many(store, enrolled, now, sans_of=table.sans, consents=False).refused
    accepted = [name for name in wanted if name not in refused]
    for block in _blocks(accepted):
        domains = list(store.domains_named(block))
        refused |= remarks.record(store, domains, lambda domain: _with_remarks(domain, table))
        chosen: dict[CertificateChange, list[Domain]] = defaultdict(list)
        for domain in domains:
            chosen[table.change(domain.name)].append(domain)
        for change, those in chosen.items():
            if not change.is_empty:
                refused |= choices.record(store, those, change, configured_profile=configured_profile)
    for name, error in refused.items():
        wanted[name].refuse(error)
    return rows


def _find_changes(domain: Domain, table: Table) -> list[str]:
    """Return the columns whose cells differ from what is recorded of a managed domain."""
    changes = ["sans"] if table.sans.get(domain.name, domain.sans) != domain.sans else []
    changes += _new_remarks(domain, table)
    before, after = domain.choice, domain.choice.changed(table.change(domain.name))
    return changes + [
        each.name for each in fields(before) if getattr(before, each.name) != getattr(after, each.name)
    ]


def _refuse_other_orders(row: Row) -> None:
    """Refuse a domain with a text certificate if the table has what only concerns certificates of the CA."""
    if not set(row.changes) <= set(_REMARKS):
        row.refuse(
            BadInput(
                f"{row.name} has a text certificate, which sslctl does not order, so the table cannot change"
                f" {', '.join(sorted(set(row.changes) - set(_REMARKS)))}",
                hint=f"leave these cells of {row.name} empty, or get a certificate from the CA with `sslctl add {row.name}`",
            )
        )


def _with_remarks(domain: Domain, table: Table) -> Remarks:
    before, cells = domain.remarks, _new_remarks(domain, table)
    return replace(
        before,
        customer=cells.get("customer", before.customer),
        note=cells.get("note", before.note),
        assignee=cells.get("assignee", before.assignee),
    )


def _new_remarks(domain: Domain, table: Table) -> dict[str, str]:
    """Return the cells that differ from what is recorded. A customer that C4 names need not be recorded by a person, too."""
    cells = table.cells(domain.name, _REMARKS)
    known = {column: getattr(domain.remarks, column) for column in cells} | {"customer": domain.customer}
    return {column: cell for column, cell in cells.items() if cell != known[column]}


def _blocks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _BLOCK] for start in range(0, len(names), _BLOCK))
