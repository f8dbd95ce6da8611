"""The composition root: the only place where implementations are chosen and connected."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sslctl.config.cdn_names import require_recognisable
from sslctl.config.secret_file import require_trusted
from sslctl.config.settings import Config, load
from sslctl.rules.claim_names import TICK
from sslctl.rules.model import Claim, Domain
from sslctl.rules.reasons import Code, Status
from sslctl.rules.renewal import Ari, RenewalRule
from sslctl.system.actor import describe_actor
from sslctl.wording import choose_name

# Slow imports are made where they are first needed, so that `list` and `view` start without requests and dnspython.
if TYPE_CHECKING:
    from sslctl.certificates.trust import TrustedRoots
    from sslctl.control_plane import ControlPlane
    from sslctl.diagnosis import Diagnosis
    from sslctl.doctor import Check
    from sslctl.fleet.looks import Looked, Looks
    from sslctl.fleet.moving import Move
    from sslctl.fleet.planning import Plan
    from sslctl.fleet.run_passes import RunPasses
    from sslctl.fleet.stateless import Stateless
    from sslctl.fleet.tick import Tick
    from sslctl.issuance.challenge_proof import ChallengeProof
    from sslctl.issuance.customers import NamedCustomers
    from sslctl.issuance.delivery import ReplacementRules
    from sslctl.issuance.edge_proof import EdgeProof
    from sslctl.issuance.pipeline import Pipeline
    from sslctl.issuance.slots import Slots
    from sslctl.issuance.suspicions import Conclusion, SuspicionLimit
    from sslctl.issuer import Issuer
    from sslctl.notify import Notifier, Route, UnusableRoute
    from sslctl.preflight import Prober
    from sslctl.store.interface import Store
    from sslctl.store.interface.maintenance import Copy
    from sslctl.store.keyring import Keyring
    from sslctl.store.sqlite.waiting import Waiting


def utc_now() -> datetime:
    """Return the current time in UTC, to the second: the precision of everything that is stored."""
    return datetime.now(UTC).replace(microsecond=0)


class App:
    """The parts of one run of sslctl, each created when first used.

    `via` is written into the history beside the user, such as `tick`; if it is empty, the terminal or `script` is. `person` is the
    one who acts through the page, otherwise empty. `waiting` is how long to wait for a locked database; with `only_reads`, reads
    wait for at most 30 seconds. `on_wait` is called with a notice when a wait takes longer, from any thread. `plain_progress` is
    whether each step of a pass is printed on a line. `monotonic` and `sleep` are the clock, in seconds, and the pauses of `--wait`;
    `retry_sleep` are the pauses before a request to C4 is tried again.
    """

    def __init__(
        self,
        config_path: Path | None,
        clock: Callable[[], datetime] = utc_now,
        *,
        waiting: Waiting | None = None,
    ) -> None:
        self.config_path = config_path
        self._waiting = waiting
        self.clock = clock
        self.monotonic: Callable[[], float] = time.monotonic
        self.sleep: Callable[[float], None] = time.sleep
        self.retry_sleep: Callable[[float], None] = time.sleep
        self.via = ""
        self.person = ""
        self.only_reads = False
        self.plain_progress = False
        self.on_wait: Callable[[str], None] = lambda _message: None

    def again(self, waiting: Waiting) -> App:
        """Return a new `App` with the same configuration file and clock, for another piece of work of this process."""
        return App(self.config_path, self.clock, waiting=waiting)

    @cached_property
    def config(self) -> Config:
        """The configuration. Raise `ConfigError` if it cannot be used. Texts name the control plane by it from now on."""
        config = load(self.config_path, os.environ)
        choose_name(is_c4=config.folder.dir is None)
        return config

    @property
    def renewal(self) -> RenewalRule:
        """The rule by which certificates are renewed."""
        section = self.config.renewal
        return RenewalRule(timedelta(days=section.before_days), Ari(section.ari))

    @cached_property
    def keyring(self) -> Keyring:
        """The keys that encrypt the private keys in the database."""
        from sslctl.store.keyring import Keyring  # noqa: PLC0415 - cryptography is slow to import

        # systemd.exec(5): the folder with the files of LoadCredential=.
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        path = self.config.state.master_key_path
        return Keyring(path, credentials=Path(credentials) if credentials else None)

    @cached_property
    def store(self) -> Store:
        """The database. Raise `StateError` if there is none, or if it cannot be used; nothing is created then."""
        from sslctl.store import configured  # noqa: PLC0415

        configured.require_state(self.config.state)
        return self._open()

    def has_state(self) -> bool:
        """Return whether there is a state. Raise `StateError` if it was lost: see `make_state`. Nothing is created."""
        from sslctl.store import configured  # noqa: PLC0415

        return not configured.require_creatable(self.config.state, with_key=False)

    def make_state(self, *, with_key: bool = False) -> bool:
        """Create the state if there is none, and return whether it was created.

        Raise `StateError` if something of a state is there without its database: the state was lost. With `with_key` a key
        file that was prepared for a new state is accepted, and the tables on a server are brought up to date.
        """
        from sslctl.store import configured  # noqa: PLC0415

        if "store" in self.__dict__:
            return False
        state = self.config.state
        is_new = configured.require_creatable(state, with_key=with_key)
        # An interrupted creation is completed too. The role of other commands cannot change the tables on a server.
        create = is_new or with_key or not state.is_on_server
        self.__dict__["store"] = self._open(create=create)
        return is_new

    def _open(self, file: Path | None = None, *, create: bool = False) -> Store:
        from sslctl.store.configured import open_store  # noqa: PLC0415
        from sslctl.store.sqlite.waiting import Waiting  # noqa: PLC0415

        return open_store(
            self.config.state,
            self.keyring,
            clock=self.clock,
            actor=describe_actor(self.via, self.person),
            limits={section.directory_url: limits for section, limits in self.config.authorities},
            waiting=(self._waiting or Waiting()).of_command(self.on_wait, only_reads=self.only_reads),
            create=create,
            file=file,
        )

    def break_claim(self, name: str, *, force: bool) -> Claim | None:
        """Break the claim `name`; see `Claims.break_claim`. For the tick also set its lock file aside.

        A tick that hangs still has that file locked; the next one locks a new file.
        """
        broken = self.store.break_claim(name, force=force)
        if broken is not None and name == TICK:
            self.config.state.tick_lock_path.unlink(missing_ok=True)
        return broken

    def restore(self, backup: Path) -> tuple[Copy, Path | None]:
        """Create the database from `backup`; see `fleet.restoring.restore`. Raise `BadInput` if it is on a server."""
        from sslctl.fleet.restoring import restore  # noqa: PLC0415

        return restore(backup, self.config.state, self.keyring, self._open, self.clock)

    def make_move(self, on_block: Callable[[str, str, int, int], None]) -> Move:
        """Return what moves the state into another database; see `fleet.moving`."""
        from sslctl.fleet.moving import make_move  # noqa: PLC0415

        actor = describe_actor(self.via, self.person)
        return make_move(self.config, self.keyring, self.clock, on_block, actor)

    def look_after_restore(self) -> Looked:
        """See `Looks.run_after_restore`. Raise `ConfigError` if C4 is not configured."""
        return self._looks().run_after_restore()

    @cached_property
    def control_plane(self) -> ControlPlane:
        """The client of C4. Raise `ConfigError` if C4 is not configured."""
        return self._connect_c4(self.config.c4.timeout_seconds)

    def _connect_c4(self, timeout_seconds: float) -> ControlPlane:
        from sslctl.control_plane.configured import make_control_plane  # noqa: PLC0415

        return make_control_plane(self.config, _read_served, timeout_seconds, self.clock, self.retry_sleep)

    @cached_property
    def issuers(self) -> dict[str, Issuer]:
        """The client of each CA, which runs certbot, by the URL of its directory.

        Raise `ConfigError` if files of the section [acme] cannot be used.
        """
        from sslctl.issuer.configured import make_issuers  # noqa: PLC0415

        keys = lambda: self.stateless.keys_if_stored()  # noqa: E731, PLW0108 - dnspython is slow to import
        return make_issuers(self.config, self.clock, on_notice=self.on_wait, find_account_keys=keys)

    @cached_property
    def issuer(self) -> Issuer:
        """The client of all CAs. Raise `ConfigError` as `issuers` does."""
        from sslctl.issuer.by_ca import IssuersByCa  # noqa: PLC0415

        return IssuersByCa(self.issuers)

    @cached_property
    def stateless(self) -> Stateless:
        """The account key that the store has, and what depends on it."""
        from sslctl.fleet.stateless import Stateless  # noqa: PLC0415

        return Stateless(self.config, lambda: self.store, lambda: self.issuer)

    @cached_property
    def notifier(self) -> Notifier | None:
        """The notifier; None if no URL is configured. Raise `ConfigError` if a URL cannot be used."""
        from sslctl.notify.configured import make_notifier  # noqa: PLC0415

        return make_notifier(self.config.notify)

    @cached_property
    def notify_routes(self) -> Sequence[Route]:
        """The routes of messages to other URLs. Raise `ConfigError` if one cannot be used."""
        from sslctl.notify.configured import make_routes  # noqa: PLC0415

        return make_routes(self.config.notify)

    @cached_property
    def tick_routes(self) -> tuple[Sequence[Route], Sequence[UnusableRoute]]:
        """The routes that a tick can use, and those that it cannot."""
        from sslctl.notify.configured import make_usable_routes  # noqa: PLC0415

        return make_usable_routes(self.config.notify)

    def pipeline(self, on_step: Callable[[Domain, str], None], slots: Slots | None = None) -> Pipeline:
        """Return a pipeline that calls `on_step` at each step of a pass and asks the CA only within `slots`.

        Raise `ConfigError` if C4 is not configured, `StateError` if the database cannot be used.
        """
        from sslctl.issuance.pass_policy import PassPolicy  # noqa: PLC0415
        from sslctl.issuance.pipeline import Pipeline  # noqa: PLC0415
        from sslctl.issuance.slots import Slots  # noqa: PLC0415

        config = self.config
        return Pipeline(
            self.store,
            self.control_plane,
            self.issuer,
            self.prober,
            clock=self.clock,
            sleep=time.sleep,
            policy=PassPolicy(
                http_expected=config.acme.mode != "standalone",
                key_type=config.acme.key_type,
                replacement=self._replacement,
                activation_seconds=config.c4.activation_seconds,
            ),
            slots=slots or Slots(config.acme.workers),
            customers=self.named_customers,
            on_step=on_step,
            edge_proof=self.edge_proof,
            challenge_proof=self.challenge_proof,
        )

    @cached_property
    def edge_proof(self) -> EdgeProof:
        """The proof at the configured edges; it knows for this process which of them do not answer."""
        from sslctl.issuance.configured import make_edge_proof  # noqa: PLC0415

        return make_edge_proof(self.config, self.store, self.clock)

    @cached_property
    def challenge_proof(self) -> ChallengeProof | None:
        """The proof that the configured edges answer challenges, None unless they do that by themselves."""
        from sslctl.issuance.configured import make_challenge_proof  # noqa: PLC0415

        return make_challenge_proof(self.config, self.store, lambda: self.stateless.keys().current.thumbprint)

    @cached_property
    def named_customers(self) -> NamedCustomers:
        """The customers that C4 names while this command runs."""
        from sslctl.issuance.customers import NamedCustomers  # noqa: PLC0415

        return NamedCustomers(self.store)

    @cached_property
    def prober(self) -> Prober:
        """The checks before an order."""
        from sslctl.issuer.certbot.directory import find_account_url  # noqa: PLC0415
        from sslctl.preflight.checks import Preflight  # noqa: PLC0415

        config = self.config
        (first, *fallbacks) = (
            (section, partial(find_account_url, config.state.acme_dir, section.directory_url))
            for section, _ in config.authorities
        )
        return Preflight(
            config.cdn,
            config.dns,
            config.acme.caa_identities,
            find_account_url=first[1],
            fallbacks={section.directory_url: (section.caa_identities, find) for section, find in fallbacks},
        )

    @cached_property
    def trusted_roots(self) -> TrustedRoots:
        """The CAs that browsers trust. Raise `ConfigError` if the configured file has none, or if others can change it."""
        from sslctl.certificates.trust import TrustedRoots  # noqa: PLC0415

        path = self.config.safety.trusted_roots
        trusted = TrustedRoots(path)
        if path is not None:
            require_trusted(path, "safety.trusted_roots")
            # A file without roots must end the command before an order is placed.
            _ = trusted.roots
        return trusted

    @cached_property
    def _replacement(self) -> ReplacementRules:
        from sslctl.issuance.delivery import ReplacementRules  # noqa: PLC0415

        return ReplacementRules(self.renewal, self.trusted_roots, self.config.acme.ca_bundle is not None)

    @property
    def suspicion_limit(self) -> SuspicionLimit:
        """How many bad answers of one reason about served domains are believed."""
        from sslctl.issuance.suspicions import SuspicionLimit  # noqa: PLC0415

        section = self.config.safety
        return SuspicionLimit(section.max_suspicions, section.max_suspicions_percent)

    def conclude_suspicions(self, since: datetime, looked_at: int) -> Conclusion:
        """Conclude the suspicions heard at `since` or later; see `suspicions.conclude`."""
        from sslctl.issuance import suspicions  # noqa: PLC0415

        return suspicions.conclude(
            self.store,
            self.renewal,
            self.suspicion_limit,
            since=since,
            now=self.clock(),
            looked_at=suspicions.LookedAt(looked_at, looked_at),
        )

    def domains_to_check_again(self, since: datetime) -> Mapping[Code, Sequence[str]]:
        """Return the domains whose certificate C4 seems not to have any more; see `suspicions.to_check_again`."""
        from sslctl.issuance import suspicions  # noqa: PLC0415

        return suspicions.to_check_again(self.store, since)

    def plan(self, at: datetime, *, force: bool = False) -> Plan:
        """Return what a tick at `at` would run; see `planning.plan`."""
        from sslctl.fleet import planning  # noqa: PLC0415

        most = self.config.renewal.max_per_day
        return planning.plan(self.store, at, self.renewal, max_per_day=most, force=force)

    def tick(self, run_passes: RunPasses) -> Tick:
        """Return a tick that runs its passes with `run_passes`.

        Raise `ConfigError` if C4, the CDN or the notifier is not usable, before any domain is touched.
        """
        from sslctl.fleet.nightly_inventory import compare_daily  # noqa: PLC0415
        from sslctl.fleet.revocation import carry_out_open  # noqa: PLC0415
        from sslctl.fleet.tick import Tick  # noqa: PLC0415
        from sslctl.fleet.tick_passes import TickSettings  # noqa: PLC0415
        from sslctl.fleet.transitions import announce  # noqa: PLC0415
        from sslctl.notify.webhook import make_tick_webhook  # noqa: PLC0415

        self.require_outside()
        notifier, (routes, unusable), config = self.notifier, self.tick_routes, self.config
        self.via = "tick"
        return Tick(
            self.store,
            None if self.renewal.ari is Ari.OFF else self.issuers,
            notifier,
            self._looks(),
            routes=routes,
            unusable_routes=unusable,
            run_passes=run_passes,
            revoke_open=lambda: carry_out_open(self.store, lambda: self.issuer, self.clock(), self.on_wait),
            compare_inventory=partial(
                compare_daily,
                self.store,
                self.control_plane,
                self.suspicion_limit,
                self.clock,
                self.monotonic,
            ),
            announce=partial(
                announce, self.store, make_tick_webhook(config.notify), self.clock, self.monotonic
            ),
            ping=self._ping if config.notify.ping_url else None,
            clock=self.clock,
            monotonic=self.monotonic,
            sleep=self.sleep,
            settings=TickSettings(
                lock_path=config.state.tick_lock_path,
                renewal=self.renewal,
                max_per_day=config.renewal.max_per_day,
                notify_statuses=tuple(map(Status, config.notify.statuses)),
                notify_repeat=timedelta(hours=config.notify.repeat_hours),
                suspicion_limit=self.suspicion_limit,
                is_shared=config.state.is_on_server,
            ),
        )

    def _ping(self) -> str:
        from sslctl.notify.ping import ping  # noqa: PLC0415

        return ping(self.config.notify.ping_url)

    def _looks(self) -> Looks:
        from sslctl.fleet.looks import Looks  # noqa: PLC0415
        from sslctl.issuance.observation import Observation  # noqa: PLC0415
        from sslctl.preflight.deferred import DeferredProber  # noqa: PLC0415

        observation = Observation(
            self.store,
            self.control_plane,
            self.named_customers,
            clock=self.clock,
            on_step=lambda _domain, _step: None,
        )
        return Looks(
            self.store,
            self.control_plane,
            DeferredProber(lambda: self.prober),
            observation.reconcile,
            clock=self.clock,
            rule=self.renewal,
            limit=self.suspicion_limit,
            http_expected=self.config.acme.mode != "standalone",
            customers=self.named_customers,
            look_at_edges=self._look_at_edges,
        )

    def _look_at_edges(self, since: timedelta) -> None:
        verify = self.config.verify
        if not verify.edges:
            self.store.keep_edges([])
            return
        from sslctl.fleet.edge_looks import look_at_edges  # noqa: PLC0415

        proofs, monotonic = (self.edge_proof, self.challenge_proof), self.monotonic
        look_at_edges(self.store, *proofs, since, daily_sample=verify.daily_sample, monotonic=monotonic)

    def require_outside(self, *, expect_orders: bool = False) -> None:
        """Raise `ConfigError` if C4, the CDN or the CA cannot be used as configured; call it before anything is recorded.

        With `expect_orders`, begin to prepare for orders at the CA as soon as its configuration is known to be good.
        """
        from sslctl.issuer.configured import require_usable_cas  # noqa: PLC0415

        require_recognisable(self.config.cdn)
        require_usable_cas(self.config)
        if expect_orders:
            self.issuer.expect_orders()
        _ = self.control_plane

    def run_checks(self) -> Iterator[Check]:
        """Run the checks of `doctor` one by one; they change nothing."""
        from sslctl.doctor.checks import run_checks  # noqa: PLC0415
        from sslctl.doctor.outside import SECONDS  # noqa: PLC0415

        connect = partial(self._connect_c4, min(SECONDS, self.config.c4.timeout_seconds))
        return run_checks(self.config, self.keyring, connect, self.clock, waiting=self._waiting)

    def diagnose(self, names: Sequence[str]) -> Iterator[Diagnosis]:
        """Yield what an order of each of `names` (normalised) would meet; see `diagnosis.run.diagnose_each`.

        Raise `ConfigError` if C4, the CDN or the CA cannot be used as configured.
        """
        from sslctl.diagnosis.run import C4_SECONDS, diagnose_each  # noqa: PLC0415

        self.require_outside()
        self.only_reads = True
        connect = partial(self._connect_c4, min(C4_SECONDS, self.config.c4.timeout_seconds))
        find_store = lambda: self.store if self.has_state() else None  # noqa: E731 - it may raise
        roots, issuer = self.trusted_roots, self.issuer
        return diagnose_each(names, self.config, connect, issuer, find_store, roots, clock=self.clock)

    def close(self) -> None:
        """Close the parts that were created."""
        if "issuers" in self.__dict__:
            _ = self.issuer
        for part in ("issuer", "control_plane", "store"):
            if part in self.__dict__:
                self.__dict__[part].close()


def _read_served(address: str, port: int, name: str) -> str | None:
    from sslctl.edge.fingerprint import read_served  # noqa: PLC0415 - only a folder needs it

    return read_served(address, port, name)
