"""The probe of names with a token: something that a `Publisher` serves is fetched through each name, as the CA will."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Mapping

from sslctl.config.settings import CdnSection
from sslctl.preflight import PreflightError, Publisher
from sslctl.preflight.challenge_fetch import ChallengeFetcher, Fetched, Outcome
from sslctl.preflight.lookup import Resolver
from sslctl.preflight.ports import Address
from sslctl.rules.reasons import Code

_CODES = {Outcome.OTHER: Code.CHALLENGE_UNREACHABLE, Outcome.REFUSED: Code.PORT_80_CLOSED}
_TOKEN_SECONDS = 10
"""For one name; `_TOKENS_SECONDS` is for all names of a certificate."""
_TOKENS_SECONDS = 30


class TokenProbe:
    """A probe that follows redirects with `resolver`. Without state, so safe for use by many threads."""

    def __init__(self, cdn: CdnSection, resolver: Resolver) -> None:
        self._fetcher = ChallengeFetcher(cdn, resolver)

    def fetch_each(
        self, addresses: Mapping[str, tuple[Address, ...]], publisher: Publisher
    ) -> Generator[Fetched, None, None]:
        """Yield the result of a fetch through each name of `addresses`, at its addresses, of a token that `publisher` serves.

        The token is served until the generator is closed. Names for which no time was left are missing. The errors of `publisher` are passed on.
        """
        token = secrets.token_urlsafe()
        until = time.monotonic() + _TOKENS_SECONDS
        with publisher.published(token) as content:
            for name, at in addresses.items():
                seconds = min(_TOKEN_SECONDS, until - time.monotonic())
                if seconds <= 0:
                    return
                yield self._fetcher.fetch(name, at, token, content, seconds=seconds)


def find_problem(fetched: Fetched) -> PreflightError | None:
    """Return the error if the name certainly answers with something else than the token; None if it does not.

    What did not respond proves nothing: the CA may see another path.
    """
    code = _CODES.get(fetched.outcome)
    return None if code is None else PreflightError(code, fetched.found, "the token that sslctl put there")
