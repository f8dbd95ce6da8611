"""What a tick did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sslctl.fleet.fleet_trouble import FleetTrouble
from sslctl.fleet.nightly_inventory import InventoryNews
from sslctl.issuance.customers import WithheldCustomers
from sslctl.issuance.suspicions import Withheld
from sslctl.rules.limits import Pause
from sslctl.rules.model import MaintenancePause
from sslctl.rules.notice import Notice, NoticeKey
from sslctl.rules.reasons import Code, Status
from sslctl.rules.renewal import Alert


@dataclass(frozen=True, slots=True)
class PassResults:
    """What the passes of a tick did until its end, `at`.

    `names` are the domains that were due, `errors` those without a pass and why. `ended` passes ended, those over `unwell` not
    in Success. Domains are kept by name only, because a fleet may be large. `clock_ahead` is how far the clock of this machine is
    ahead of the database's.
    """

    at: datetime
    exit_code: int
    names: Sequence[str]
    errors: Mapping[str, Exception]
    ended: int
    unwell: Sequence[str]
    clock_ahead: timedelta


@dataclass(frozen=True, slots=True)
class BesideResult(PassResults):
    """What a tick did beside a leading one, `lead` in words."""

    lead: str


@dataclass(frozen=True, slots=True)
class TickResult(PassResults):
    """What a leading tick did, and the state of the fleet at its end. On several hosts the passes of the others count, too.

    `ping_error` is why the ping failed, empty if it succeeded, None if none was sent. `webhook_error` is why messages of the webhook
    were not accepted, empty if none failed. `lost` is the number of certificates that C4 had lost, `warned` counts the domains with a
    new warning by its code, `look_trouble` is why the daily look was not finished, empty if it was, and
    `is_blind` whether domains were not looked at for days, or C4 refuses the token. `maintenance` is the pause of orders and
    uploads in force. `withheld_customers` are the customers that C4 changed for too many domains. `inventory` is what was learned from
    C4's inventory. `edge_troubles` are those of edges that do not answer, or serve other certificates than C4 has,
    `other_cas` the other CAs that issued in place of the first one.
    """

    held_renewals: int
    alerts: Sequence[Alert]
    notices: Mapping[NoticeKey, Notice]
    webhook_error: str
    ping_error: str | None
    counts: Mapping[Status, int]
    pauses: Sequence[Pause]
    withheld: Sequence[Withheld]
    lost: int
    warned: Mapping[Code, int]
    look_trouble: str
    is_blind: bool
    maintenance: MaintenancePause | None
    withheld_customers: WithheldCustomers | None
    inventory: InventoryNews
    edge_troubles: Sequence[FleetTrouble]
    other_cas: Sequence[FleetTrouble]

    @property
    def pinged(self) -> bool | None:
        """Whether the ping succeeded; None if none was sent."""
        return None if self.ping_error is None else not self.ping_error
