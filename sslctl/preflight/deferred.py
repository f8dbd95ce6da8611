"""A prober that is made when it is first used."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from sslctl.preflight import PreflightWarning, Prober, Publisher


class DeferredProber:
    """The `Prober` that `make` returns, made when it is first used: a tick that looks at no DNS imports no dnspython."""

    def __init__(self, make: Callable[[], Prober]) -> None:
        self._make = make

    @cached_property
    def _prober(self) -> Prober:
        return self._make()

    def check(
        self,
        names: tuple[str, ...],
        cname_target: str,
        *,
        http_expected: bool,
        publisher: Publisher | None = None,
    ) -> PreflightWarning | None:
        """See `Prober.check`."""
        return self._prober.check(names, cname_target, http_expected=http_expected, publisher=publisher)

    def check_before_cutover(
        self, names: tuple[str, ...], cname_target: str, *, publisher: Publisher | None = None
    ) -> PreflightWarning | None:
        """See `Prober.check_before_cutover`."""
        return self._prober.check_before_cutover(names, cname_target, publisher=publisher)

    def check_pointing(self, names: tuple[str, ...], cname_target: str) -> None:
        """See `Prober.check_pointing`."""
        self._prober.check_pointing(names, cname_target)

    def check_caa(self, names: tuple[str, ...], cname_target: str, ca: str) -> None:
        """See `Prober.check_caa`."""
        self._prober.check_caa(names, cname_target, ca)
