"""How ticks of several hosts share what is due: each domain is worked on by one of them."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Protocol

from sslctl.issuance.claims import claim_domains, release_domains
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains


class _Store(Claims, Domains, Protocol):
    """What the domains are taken from."""


class Share:
    """The domains that this process takes; see `issuance.work.Sharing`. `on_taken` is called with each of their blocks.

    Domains that another process works on are left out and noted as `busy`, and so are those with another revision than in `revisions`: another
    process has worked on them since the work was planned. `choose` returns those of claimed domains that may go ahead.
    """

    def __init__(
        self,
        store: _Store,
        revisions: Mapping[str, int],
        ordering: Container[str],
        on_taken: Callable[[Sequence[str]], object],
        choose: Callable[[Sequence[str]], list[str]] = list,
    ) -> None:
        self._store = store
        self._revisions = revisions
        self.ordering = ordering
        self._on_taken = on_taken
        self._choose = choose
        self.busy = set[str]()

    def take(self, names: Sequence[str]) -> Sequence[str]:
        """Claim `names` for this process; return those that it got, and that nobody has worked on since."""
        claimed = claim_domains(self._store, names)
        self.busy |= set(names).difference(claimed)
        due: list[str] = []
        try:
            found = {domain.name: domain.revision for domain in self._store.domains_named(claimed)}
            unchanged = [
                name
                for name in claimed
                if name in found and self._revisions.get(name, found[name]) == found[name]
            ]
            due = self._choose(unchanged)
        finally:
            # Others may need what is not due any more.
            release_domains(self._store, sorted(set(claimed).difference(due)))
        if due:
            self._on_taken(due)
        return due

    def give_back(self, names: Sequence[str]) -> None:
        """Release `names`, which were taken and have had no pass."""
        if names:
            release_domains(self._store, names)
