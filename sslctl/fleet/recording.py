"""Record what people decide about many domains, in blocks, so that other processes need not wait for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sslctl.errors import BadInput, Busy, SslctlError
from sslctl.rules.model import Domain
from sslctl.store.interface.transactions import Transactions

_BLOCK = 1000


def record_each(
    store: Transactions, domains: Sequence[Domain], write: Callable[[Domain], object]
) -> dict[str, SslctlError]:
    """Call `write` for each of `domains`; return the error of each that is refused, by name.

    A domain is refused if `write` raises `BadInput`, or `Busy` because somebody else changed it meanwhile. Raise `StateError`,
    `StateBusy`; the blocks before it stay recorded.
    """
    errors: dict[str, SslctlError] = {}
    for start in range(0, len(domains), _BLOCK):
        with store.transaction():
            for domain in domains[start : start + _BLOCK]:
                try:
                    write(domain)
                except (BadInput, Busy) as error:
                    errors[domain.name] = error
    return errors
