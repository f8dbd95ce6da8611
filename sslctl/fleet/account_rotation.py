"""Replace the account key in two steps, so that no edge ever answers for a key that is not needed, or is in the wrong hands.

1. `prepare` makes the next key. Its thumbprint goes onto the edges; from then on an order waits until the second step, because the
   edges do not answer for the current key any more.
2. `switch` asks every edge for a random token. Only if all answer with the next thumbprint, the next key becomes the current one,
   and our account at the CA gets it (RFC 8555, section 7.3.5): its URL stays, and so do CAA records with it.

The edges come first: as soon as the CA has changed the account, whoever has the old key could register another account with
it, and an edge that still answers with the old thumbprint would let that account pass.

Each step can be run again after any interruption. The former key is kept as the previous one until the CA has changed
the account. If that was interrupted, the next order completes it, too (`issuer.certbot.account`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Protocol

from sslctl.certificates.account_key import make_account_key
from sslctl.config.settings import Config
from sslctl.edge.challenges import ChallengeAnswer
from sslctl.errors import BadInput, Busy, TryLater
from sslctl.issuance.configured import make_challenge_edges
from sslctl.issuer import IssueError
from sslctl.preflight.answer_probe import fetch_answers
from sslctl.preflight.challenge_fetch import Outcome
from sslctl.rules.account_key import AccountKey, KeyRole
from sslctl.rules.claim_names import TICK, domain_of
from sslctl.store.interface.account_keys import AccountKeys
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.edges import Edges

_CLAIM_TIME = timedelta(minutes=10)
# Without configured edges so many domains are asked for, each through its own DNS.
_MOST_DOMAINS = 5
_MOST_SHOWN = 5
_RIGHT = {Outcome.FOUND: True, Outcome.UNKNOWN: None}
_AGAIN = "`sslctl acme rotate --switch`"


class _Store(AccountKeys, Claims, Protocol):
    """What a rotation reads and writes."""


class RotationStore(_Store, Edges, Protocol):
    """What `make_rotation` needs."""


class AccountRotation:
    """A rotation of the account key.

    `register` gives our account at the CA the current key; it raises `IssueError`. `ask` returns what the edges answer to a challenge,
    compared with a thumbprint.
    """

    def __init__(
        self, store: _Store, register: Callable[[], None], ask: Callable[[str], Sequence[ChallengeAnswer]]
    ) -> None:
        self._store = store
        self._register = register
        self._ask = ask

    def prepare(self) -> AccountKey:
        """Return the next key, the one of an earlier call if there is one. Raise `Busy` if an earlier switch is not complete."""
        if self._store.account_key(KeyRole.PREVIOUS) is not None:
            raise Busy("the last switch of the account key is not complete", hint=f"run {_AGAIN} first")
        return self._store.add_account_key(KeyRole.NEXT, make_account_key(), "a new key")

    def switch(self) -> AccountKey:
        """Make the next key the current one, and return it. Complete a switch that was interrupted.

        Raise `BadInput` if no key was prepared, `Busy` while a tick runs or a process works on a domain, and `TryLater` unless every edge answers with its thumbprint;
        nothing was changed then. Raise `TryLater` if the CA could not be asked: the key was switched, and the next order or the next call
        tells the CA.
        """
        if not self._store.claim([TICK], _CLAIM_TIME):
            raise Busy(
                "a tick runs, and its orders would fail while the key is switched",
                hint=f"wait for its end, then run {_AGAIN} again",
            )
        try:
            self._require_no_pass()
            return self._switch()
        finally:
            self._store.release([TICK])

    def _require_no_pass(self) -> None:
        """Raise `Busy` while another process works on a domain: a command, or a tick beside one that has ended."""
        names = [name for claim in self._store.claims() if claim.is_valid and (name := domain_of(claim.name))]
        if names:
            more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
            raise Busy(
                f"another sslctl works on {names[0]}{more}, and orders would fail while the key is switched",
                hint=f"wait for its end, then run {_AGAIN} again; `sslctl claims` shows it",
            )

    def _switch(self) -> AccountKey:
        following = self._store.account_key(KeyRole.NEXT)
        if self._store.account_key(KeyRole.PREVIOUS) is not None:
            self._tell_ca()
        elif following is None:
            raise BadInput(
                "no next account key is prepared, so nothing was changed; if a switch was begun before, it is complete",
                hint="to replace the key once more, `sslctl acme rotate --for nginx` makes the next one, and prints its lines",
            )
        if following is not None:
            require_answered(self._ask(following.thumbprint))
            self._store.promote_account_key()
            self._tell_ca()
        current = self._store.account_key(KeyRole.CURRENT)
        assert current is not None  # noqa: S101 - it is never deleted
        return current

    def _tell_ca(self) -> None:
        try:
            self._register()
        except IssueError as error:
            raise TryLater(
                f"the account key was switched here, but not at the CA: {error.found}",
                hint=f"run {_AGAIN} again; the next order tells the CA, too",
            ) from error
        self._store.drop_previous_account_key()


def require_answered(answers: Sequence[ChallengeAnswer]) -> None:
    """Raise `TryLater` unless all of `answers` are right."""
    wrong = [each for each in answers if not each.is_right]
    if not wrong:
        return
    shown = [f"{each.edge}: {each.found}" for each in wrong[:_MOST_SHOWN]]
    if len(wrong) > _MOST_SHOWN:
        shown.append(f"and {len(wrong) - _MOST_SHOWN} more")
    raise TryLater(
        f"the next thumbprint is not answered everywhere, so nothing was changed: {'; '.join(shown)}",
        hint=f"give all edges the lines of `sslctl acme rotate --for nginx`, then run {_AGAIN} again",
    )


def make_rotation(config: Config, store: RotationStore, register: Callable[[], None]) -> AccountRotation:
    """Return the rotation that asks the edges of `config`, or some domains in service if none are configured."""
    return AccountRotation(store, register, partial(_ask, config, store))


def _ask(config: Config, store: Edges, thumbprint: str) -> Sequence[ChallengeAnswer]:
    names = store.edge_sample(_MOST_DOMAINS)
    if config.verify.edges:
        name = next(iter((*names, *config.cdn.cname_suffixes)), "example.com")
        return make_challenge_edges(config).ask(name, thumbprint)
    found = fetch_answers(config.cdn, config.dns, names, thumbprint)
    if names and not found:
        return [ChallengeAnswer(name, is_right=None, found="not reached") for name in names]
    return [
        ChallengeAnswer(name, is_right=_RIGHT.get(fetched.outcome, False), found=fetched.found)
        for name, fetched in found.items()
    ]
