"""Blocks of domains, by which ticks of several machines share what is due: each domain is worked on by one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sslctl.issuance.claims import claim_domains, release_domains
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains

# Many more than orders at once, so that few wait for the last ones of a block; few enough for other machines to find some.
_BLOCK = 64


class _Store(Claims, Domains, Protocol):
    """What the blocks are taken from."""


def run_in_blocks(
    store: _Store,
    names: Sequence[str],
    revisions: Mapping[str, int],
    run: Callable[[Sequence[str]], None],
    *,
    choose: Callable[[Sequence[str]], Sequence[str]] = list,
) -> None:
    """Call `run` with each block of `names`, in order, while this process has the claims on its domains.

    Domains that another process works on are left out, and so are those with another revision than in `revisions`: another
    process has worked on them since the work was planned. `choose` returns those of a claimed block that may go ahead.
    """
    for start in range(0, len(names), _BLOCK):
        block = claim_domains(store, names[start : start + _BLOCK])
        try:
            found = {domain.name: domain.revision for domain in store.domains_named(block)}
            left = choose(
                [name for name in block if name in found and revisions.get(name, found[name]) == found[name]]
            )
            # Others may need what is not due any more.
            release_domains(store, sorted(set(block).difference(left)))
            if left:
                run(left)
        finally:
            release_domains(store, block)
