"""Checks of DNS, the CA, C4 and the edges, and of our clock against theirs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import dns.name
from dns.rdatatype import A

from sslctl.config.acme import AcmeSection, read_hmac_key
from sslctl.config.secret_file import require_trusted
from sslctl.config.settings import Config
from sslctl.control_plane import ControlPlane, ControlPlaneError, Unauthorized
from sslctl.doctor import Check, Grade, bad, ok, unanswered, warn
from sslctl.edge.asking import AskedEdges
from sslctl.issuer import IssueError
from sslctl.issuer.certbot import directory
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.preflight.lookup import DnsUnanswered, Resolver
from sslctl.rules.ca_name import ca_name
from sslctl.rules.reasons import Code
from sslctl.text import clean

ACCOUNT = "account at the CA"
PROFILE = "profile of the CA"
CAA = "CAA names of the CA"
SECONDS = 5.0
"""The timeout of each request."""

_MOST_SKEW = timedelta(seconds=60)


class Outside:
    """The checks of DNS, the CA and C4. `connect` returns a client of C4; `clock` is our clock."""

    def __init__(
        self, config: Config, connect: Callable[[], ControlPlane], clock: Callable[[], datetime]
    ) -> None:
        self._config = config
        self._connect = connect
        self._clock = clock
        self._skews: dict[str, timedelta] = {}

    def dns(self) -> Iterator[Check]:
        """Query the resolvers. NXDOMAIN is an answer too."""
        settings = self._config.dns
        resolver = Resolver(replace(settings, timeout_seconds=min(SECONDS, settings.timeout_seconds)))
        name = next(iter(self._config.cdn.cname_suffixes), "example.com")
        try:
            resolver.look_up(dns.name.from_text(name), A)
        except DnsUnanswered as error:
            yield unanswered("DNS", str(error), "check dns.resolvers, or /etc/resolv.conf")
        else:
            yield ok("DNS", f"answers queries for {clean(name)}")

    def ca(self) -> Iterator[Check]:
        """Get the directory of each CA, and ask the CA about our account. A CA that is only a fallback stops nothing."""
        yield from self._ca(self._config.acme, "acme", "the CA")
        for fallback in self._config.acme.fallback:
            name = ca_name(fallback.directory_url)
            for check in self._ca(self._config.acme.of_fallback(fallback), "acme.fallback", name):
                # The check of the directory names its URL.
                detail = check.detail if check.name == "CA" else f"{name}: {check.detail}"
                found = replace(check, detail=detail)
                yield (
                    replace(found, grade=Grade.WARN, is_outside=False) if check.grade is Grade.BAD else found
                )

    def _ca(self, acme: AcmeSection, section: str, whose: str) -> Iterator[Check]:
        """Check the CA that `acme` describes, which is configured in `section`; `whose` is its name for the check of clocks."""
        if acme.ca_bundle is not None:
            require_trusted(acme.ca_bundle, f"{section}.ca_bundle")
        answer = None
        try:
            answer = directory.ask(acme, SECONDS)
        except IssueError as error:
            hint = f"check {section}.directory_url and {section}.ca_bundle"
            yield unanswered("CA", f"{clean(acme.directory_url)}: {error.found}", hint)
        else:
            self._compare(whose, answer.at)
            yield ok("CA", f"{clean(acme.directory_url)} answers")
            yield from self._profile(answer, acme.profile, section)
            yield from self._caa(answer, acme.caa_identities, section)
        yield from self._account(answer, acme, section)

    def _profile(self, answer: directory.CaAnswer, profile: str, section: str) -> Iterator[Check]:
        """Check that the CA offers the configured profile; nothing without one."""
        problem = directory.find_missing_profile(answer.directory, profile)
        if problem:
            yield bad(
                PROFILE,
                problem,
                f"set {section}.profile to one that the CA lists, or to an empty text for its default",
            )
        elif profile:
            yield ok(PROFILE, clean(profile))

    def _account(self, answer: directory.CaAnswer | None, acme: AcmeSection, section: str) -> Iterator[Check]:
        """Check our account; `answer` is None if the CA does not answer."""
        folder = self._config.state.acme_dir
        account = directory.find_account(folder, acme.directory_url)
        if account is None and answer is not None and directory.needs_external_account(answer.directory):
            yield self._credentials(acme, section)
            return
        if account is None:
            yield warn(ACCOUNT, f"not registered yet in {clean(folder)}", "the first order registers it")
            return
        if answer is None:
            yield ok(ACCOUNT, "registered; the CA was not asked, because it does not answer")
            return
        bounded = replace(acme, timeout_seconds=min(acme.timeout_seconds, SECONDS))
        issuer = CertbotIssuer(bounded, folder, clock=self._clock)
        hint = (
            f"if the CA deactivated it, move {clean(account)} away: the next order registers another account"
        )
        try:
            status = issuer.account_status()
        except IssueError as error:
            is_refused = error.code is Code.CA_REFUSED
            yield (
                bad(ACCOUNT, f"refused by the CA: {error.found}", hint)
                if is_refused
                else unanswered(
                    ACCOUNT, f"the CA did not answer about it: {error.found}", "see the check `CA`"
                )
            )
        else:
            yield (
                ok(ACCOUNT, "valid")
                if status == "valid"
                else bad(ACCOUNT, f"its status is {clean(status)}", hint)
            )
        finally:
            issuer.close()

    def _credentials(self, acme: AcmeSection, section: str) -> Check:
        """Check the credentials that the CA needs to register the first account (externalAccountRequired)."""
        if acme.eab_hmac_key_file is None:
            return bad(
                ACCOUNT,
                "not registered yet, and the CA needs its credentials for that (externalAccountRequired)",
                f"ask the CA for them, and set {section}.eab_kid and {section}.eab_hmac_key_file",
            )
        read_hmac_key(acme.eab_hmac_key_file, f"{section}.eab_hmac_key_file")
        return warn(
            ACCOUNT,
            f"not registered yet; the CA needs credentials, and {clean(acme.eab_kid, 60)} is configured",
            "the first order registers it",
        )

    def _caa(self, answer: directory.CaAnswer, configured: tuple[str, ...], section: str) -> Iterator[Check]:
        """Compare the names that the CA looks for in CAA records with the configured ones; nothing if the CA lists none."""
        listed = directory.caa_identities(answer.directory)
        if listed and not set(listed) & set(configured):
            yield warn(
                CAA,
                f"the CA looks for {clean(', '.join(listed), 200)}, and {section}.caa_identities is {', '.join(configured) or 'empty'}",
                f"set {section}.caa_identities to the names of the CA: CAA records would be judged wrongly",
            )

    def c4(self) -> Iterator[Check]:
        """Get C4's health, with our token."""
        folder = self._config.folder.dir
        with closing(self._connect()) as control_plane:
            if folder is not None:
                yield from _check_folder(control_plane, folder)
                return
            yield ok("token file", clean(self._config.c4.token_file))
            try:
                at = control_plane.health()
            except Unauthorized as error:
                yield bad("C4", f"refuses our token: {error}", "write a valid token into c4.token_file")
            except ControlPlaneError as error:
                yield unanswered("C4", f"{clean(self._config.c4.base_url)}: {error}", "check c4.base_url")
            else:
                self._compare("C4", at)
                yield ok("C4", f"{clean(self._config.c4.base_url)} answers and accepts our token")

    def edges(self) -> Iterator[Check]:
        """Ask each edge in verify.edges for a certificate; nothing without any. An edge that serves none for this name answers too."""
        section = self._config.verify
        if not section.edges:
            return
        seconds = min(SECONDS, section.timeout_seconds)
        asked = AskedEdges(section.edges, seconds, monotonic=time.monotonic)
        answers = asked.ask(next(iter(self._config.cdn.cname_suffixes), "example.com"))
        silent = [each for each in answers if each.fingerprint is None]
        for each in silent:
            hint = "repair it, or correct verify.edges; no domain waits for it"
            yield warn("edges", f"{each.edge} does not answer: {each.why}", hint)
        if len(silent) < len(answers):
            number = len(answers) - len(silent)
            yield ok("edges", "1 edge answers" if number == 1 else f"{number} edges answer")

    def _compare(self, whose: str, at: datetime | None) -> None:
        if at is not None:
            self._skews[whose] = self._clock() - at

    def skew(self) -> Iterator[Check]:
        """Compare our clock with those of the CA and C4, as far as they have answered."""
        # Other threads fill in the skews, and one of them may still be waiting.
        for whose, skew in sorted(self._skews.items(), reverse=True):
            seconds = round(abs(skew).total_seconds())
            detail = (
                f"{seconds:,} seconds {'ahead of' if skew > timedelta() else 'behind'} the clock of {whose}"
            )
            if abs(skew) > _MOST_SKEW:
                yield warn("clock", detail, "synchronise it with NTP; expiry and limits depend on it")
            else:
                yield ok("clock", detail if seconds else f"agrees with the clock of {whose}")


def _check_folder(control_plane: ControlPlane, folder: Path) -> Iterator[Check]:
    """Check that the folder of PEM files can be used."""
    try:
        control_plane.health()
    except ControlPlaneError as error:
        yield bad("folder of certificates", f"{clean(folder)}: {error}", "check the section [folder]")
    else:
        yield ok("folder of certificates", f"{clean(folder)} can be read and changed")
