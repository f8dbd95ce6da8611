"""Where state lives, as small Protocols by concern. SQLite implements them; another database can.

Every change of a domain is compare-and-set: a method takes the `Domain` value that the caller last read, and returns the
domain as it is now, or raises `Busy` if another process changed it in the meantime. The event of a change is committed with it.
All methods raise `StateError` if the state cannot be used.
"""

from __future__ import annotations

from typing import Protocol

from sslctl.store.interface.account_keys import AccountKeys
from sslctl.store.interface.archives import Archives
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.cutovers import Cutovers
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.edges import Edges
from sslctl.store.interface.figures import Figures, StatusCounts
from sslctl.store.interface.history import History
from sslctl.store.interface.inventory import Inventory, UnmanagedDomains
from sslctl.store.interface.keys import Keys
from sslctl.store.interface.maintenance import Maintenance
from sslctl.store.interface.maintenance_pauses import MaintenancePauses
from sslctl.store.interface.metrics import Metrics
from sslctl.store.interface.notices import Notices
from sslctl.store.interface.orders import Orders
from sslctl.store.interface.renewals import Renewals
from sslctl.store.interface.reported import ReportedTroubles
from sslctl.store.interface.revocations import Revocations
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.transitions import Transitions
from sslctl.store.interface.versions import Versions


class Store(
    Domains,
    Orders,
    Versions,
    Budget,
    Renewals,
    Revocations,
    History,
    Keys,
    Claims,
    Notices,
    ReportedTroubles,
    Maintenance,
    MaintenancePauses,
    Figures,
    StatusCounts,
    Inventory,
    UnmanagedDomains,
    Metrics,
    Transactions,
    Transitions,
    Edges,
    Cutovers,
    AccountKeys,
    Archives,
    Protocol,
):
    """The whole store: what an implementation provides, and what the composition root hands out.

    Use it only there. A function or class that uses the store names the Protocols that it needs; if it needs several, it
    defines a Protocol of its own that inherits them: `class _Store(Domains, Claims, Protocol)`.
    """

    def close(self) -> None:
        """Close the database."""
