"""The configuration: one TOML file and the environment, validated and turned into one immutable value.

docs/configuration.md describes the order of precedence and lists every key.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from sslctl.config import acme, folder, history, limits, state, verify, web
from sslctl.config import values as read
from sslctl.config.acme import AcmeSection
from sslctl.config.file import ConfigFile, open_file
from sslctl.config.limits import LimitsSection
from sslctl.config.routes import RouteSection, read_routes
from sslctl.errors import ConfigError
from sslctl.rules.limits import Limits
from sslctl.rules.reasons import Status
from sslctl.text import clean


@dataclass(frozen=True, slots=True)
class C4Section:
    """The control plane. `activation_seconds` is how long a pass waits for C4 to activate an upload."""

    base_url: str = ""
    token_file: Path | None = None
    ca_bundle: Path | None = None
    timeout_seconds: float = 20
    activation_seconds: float = 10


@dataclass(frozen=True, slots=True)
class CdnSection:
    """How to recognise a domain that points at the CDN. The ports differ from 80 and 443 only in a sandbox."""

    cname_suffixes: tuple[str, ...] = ("cdn.example.net",)
    ip_ranges: tuple[IPv4Network | IPv6Network, ...] = ()
    probe_ports: bool = True
    probe_challenge: bool = True
    probe_private: bool = False
    http_port: int = 80
    https_port: int = 443


@dataclass(frozen=True, slots=True)
class DnsSection:
    """The DNS resolvers, each as `(address, port)`; none means the system's."""

    resolvers: tuple[tuple[str, int], ...] = ()
    timeout_seconds: float = 5


@dataclass(frozen=True, slots=True)
class PacingSection:
    """The highest number of requests a second to the CA from this machine, by kind; 0 means no limit.

    The defaults are Let's Encrypt's limits per IP address (https://letsencrypt.org/docs/rate-limits/#overall-requests-limit).
    An order asks for a new nonce only if no earlier one left a nonce, and makes seven requests of the kind `other`.
    """

    directory: int = 40
    new_nonce: int = 20
    other: int = 250


@dataclass(frozen=True, slots=True)
class RenewalSection:
    """When a certificate is renewed.

    `ari` (`off`, `incident` or `follow`) says how far sslctl follows the CA's renewal information (`renewal.Ari`).
    `max_per_day` is the highest number of renewals for a day in Singapore: if a coming day would have more, some are made
    earlier. 0 means no limit.
    """

    before_days: float = 7
    max_per_day: int = 0
    ari: str = "incident"


@dataclass(frozen=True, slots=True)
class NotifySection:
    """Whom sslctl notifies, and when. The URLs are secrets, and no repr shows them.

    `statuses` are the statuses that are notified, and again after `repeat_hours`. `ping_url` is requested after every
    successful tick, so that a monitoring service notices when ticks stop. Each `route` receives the messages about its domains
    instead of the URLs. `webhook_url` receives a message, signed with the secrets in `webhook_secret_file`, about each change of a
    domain's status.
    """

    urls: tuple[str, ...] = field(default=(), repr=False)
    urls_file: Path | None = None
    ping_url: str = field(default="", repr=False)
    webhook_url: str = field(default="", repr=False)
    webhook_secret_file: Path | None = None
    statuses: tuple[str, ...] = (Status.EMERGENCY, Status.EXPIRED)
    repeat_hours: float = 24
    route: tuple[RouteSection, ...] = ()


@dataclass(frozen=True, slots=True)
class SafetySection:
    """How far one wrong answer, or one wrong certificate, may go.

    Of the domains that are looked at together, at most `max_suspicions`, or `max_suspicions_percent` if that is more, are
    believed to be gone for one reason. `trusted_roots` is a PEM file with the CAs that browsers trust; without it, those of
    the system.
    """

    max_suspicions: int = 5
    max_suspicions_percent: float = 1
    trusted_roots: Path | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. `path` is its file, or None if there is none."""

    state: state.StateSection = field(default_factory=state.StateSection)
    acme: AcmeSection = field(default_factory=AcmeSection)
    c4: C4Section = field(default_factory=C4Section)
    folder: folder.FolderSection = field(default_factory=folder.FolderSection)
    cdn: CdnSection = field(default_factory=CdnSection)
    dns: DnsSection = field(default_factory=DnsSection)
    limits: LimitsSection = field(default_factory=LimitsSection)
    pacing: PacingSection = field(default_factory=PacingSection)
    renewal: RenewalSection = field(default_factory=RenewalSection)
    notify: NotifySection = field(default_factory=NotifySection)
    safety: SafetySection = field(default_factory=SafetySection)
    verify: verify.VerifySection = field(default_factory=verify.VerifySection)
    web: web.WebSection = field(default_factory=web.WebSection)
    history: history.HistorySection = field(default_factory=history.HistorySection)
    path: Path | None = None

    @property
    def archive_dir(self) -> Path:
        """The folder of archived history."""
        return self.history.archive_dir or self.state.dir / "archive"

    @property
    def ca_limits(self) -> Limits:
        """The rate limits of the first CA."""
        return self.limits.limits_of(self.acme.directory_url)

    @property
    def ca_urls(self) -> tuple[str, ...]:
        """The URLs of the directories of the CAs, in the order in which they are used."""
        return tuple(section.directory_url for section, _ in self.authorities)

    @property
    def authorities(self) -> tuple[tuple[AcmeSection, Limits], ...]:
        """The section and the limits of each CA, in the order in which they are used."""
        fallbacks = (
            (self.acme.of_fallback(each), each.limits.limits_of(each.directory_url))
            for each in self.acme.fallback
        )
        return ((self.acme, self.ca_limits), *fallbacks)


_READ: dict[str, Callable[[object], object]] = {
    **{f"state.{key}": reader for key, reader in state.READ.items()},
    **{f"acme.{key}": reader for key, reader in acme.READ.items()},
    "c4.base_url": read.base_url,
    "c4.token_file": read.optional_path,
    "c4.ca_bundle": read.optional_path,
    "c4.timeout_seconds": read.seconds,
    "c4.activation_seconds": read.seconds_or_none,
    **{f"folder.{key}": reader for key, reader in folder.READ.items()},
    "cdn.cname_suffixes": read.many(read.name),
    "cdn.ip_ranges": read.many(read.network),
    "cdn.probe_ports": read.boolean,
    "cdn.probe_challenge": read.boolean,
    "cdn.probe_private": read.boolean,
    "cdn.http_port": read.port,
    "cdn.https_port": read.port,
    "dns.resolvers": read.many(read.resolver),
    "dns.timeout_seconds": read.seconds,
    **{f"limits.{key}": reader for key, reader in limits.READ.items()},
    "pacing.directory": read.integer(0, 10_000),
    "pacing.new_nonce": read.integer(0, 10_000),
    "pacing.other": read.integer(0, 10_000),
    "renewal.before_days": read.days,
    "renewal.max_per_day": read.integer(0, 10_000_000),
    "renewal.ari": read.choice("off", "incident", "follow"),
    "notify.urls": read.many(read.notify_url),
    "notify.urls_file": read.optional_path,
    "notify.ping_url": read.request_url,
    "notify.webhook_url": read.request_url,
    "notify.webhook_secret_file": read.optional_path,
    "notify.statuses": read.many(read.choice(*(status for status in Status if status is not Status.SUCCESS))),
    "notify.repeat_hours": read.hours,
    "notify.route": read_routes,
    "safety.max_suspicions": read.integer(0, 10_000_000),
    "safety.max_suspicions_percent": read.percent,
    "safety.trusted_roots": read.optional_path,
    **{f"verify.{key}": reader for key, reader in verify.READ.items()},
    **{f"web.{key}": reader for key, reader in web.READ.items()},
    **{f"history.{key}": reader for key, reader in history.READ.items()},
}
"""The reader of each key. A new key needs a field with its default above, and a line here."""

ARRAYS_OF_TABLES = (("acme", "fallback"), ("notify", "route"))
"""The section and key of what the environment cannot hold."""

_DEFAULTS = Config()
_SECTIONS = tuple(each.name for each in fields(Config) if each.name != "path")
SYSTEM_FILE = Path("/etc/sslctl/config.toml")
"""The configuration file of a machine."""
_PREFIX = "SSLCTL_"


def keys() -> list[tuple[str, str, object]]:
    """Return every key as (section, key, default), in the order of the sections and their fields."""
    found = []
    for section in _SECTIONS:
        values = getattr(_DEFAULTS, section)
        found += [(section, each.name, getattr(values, each.name)) for each in fields(values)]
    return found


def load(path: Path | None, environ: Mapping[str, str], *, system_file: Path = SYSTEM_FILE) -> Config:
    """Return the configuration: the defaults, overridden by one file, overridden by the environment.

    The file is the first that exists of: `path`, SSLCTL_CONFIG, sslctl/config.toml in XDG_CONFIG_HOME (`~/.config`),
    `system_file`. A named file must exist. If no file is named and none exists, the defaults are used. Raise
    `ConfigError`, whose message names the key, and the file with its line or the variable.
    """
    config, file = _DEFAULTS, open_file(path, environ, system_file)
    if file is not None:
        config = _with_settings(replace(config, path=file.path), _settings_of_file(file))
        _require_private(config.notify, file)
    config = _with_settings(config, _settings_of_environment(environ))
    acme.require_complete(config.acme)
    state.require_one_database(config.state)
    return config


def _require_private(notify: NotifySection, file: ConfigFile) -> None:
    """Raise `ConfigError` if everyone can read a file that contains secret URLs."""
    for key in ("urls", "ping_url", "webhook_url"):
        if getattr(notify, key) and file.is_public:
            raise ConfigError(
                f"{file.place('notify', key)}: notify.{key} is a secret, but everyone can read this file",
                hint=f"chmod o-rwx {clean(file.path)}",
            )


@dataclass(frozen=True, slots=True)
class _Setting:
    """A value that is not checked yet. `place` returns its location, for a message."""

    section: str
    key: str
    value: object
    place: Callable[[], str]


def _settings_of_file(file: ConfigFile) -> Iterator[_Setting]:
    for section, table in file.tables().items():
        if section not in _SECTIONS:
            message = f"{file.place(section)}: [{clean(section, 60)}] is not a section"
            raise ConfigError(message, hint=_hint(section))
        if not isinstance(table, dict):
            raise ConfigError(f"{file.place(section)}: {section} must be a section, [{section}]")
        for key, value in table.items():
            yield _Setting(section, key, value, partial(file.place, section, key))


def _settings_of_environment(environ: Mapping[str, str]) -> Iterator[_Setting]:
    for variable in sorted(environ):
        section, _, key = variable.removeprefix(_PREFIX).lower().partition("_")
        if variable.startswith(_PREFIX) and section in _SECTIONS and key:
            default = getattr(getattr(_DEFAULTS, section), key, None)
            yield _Setting(section, key, read.from_text(environ[variable], default), partial(clean, variable))


def _with_settings(config: Config, settings: Iterable[_Setting]) -> Config:
    changes: dict[str, dict[str, Any]] = {}
    for setting in settings:
        dotted = f"{setting.section}.{setting.key}"
        if dotted not in _READ:
            raise ConfigError(
                f"{setting.place()}: {clean(dotted, 80)} is not a key",
                hint=_hint(setting.key, setting.section),
            )
        try:
            value = _READ[dotted](setting.value)
        except ValueError as error:
            raise ConfigError(f"{setting.place()}: {dotted} {error}") from None
        changes.setdefault(setting.section, {})[setting.key] = value
    sections: dict[str, Any] = {
        section: replace(getattr(config, section), **new) for section, new in changes.items()
    }
    return replace(config, **sections)


def _hint(word: str, section: str | None = None) -> str | None:
    """Return a hint with what was probably meant: a section, a key of `section`, or a key of that name in another one."""
    near = {key: f"{owner}.{key}" for owner, key, _ in keys() if owner == section}
    if section is None:
        near = {name: f"[{name}]" for name in _SECTIONS}
    elsewhere = [f"{owner}.{key}" for owner, key, _ in keys() if key == word]
    meant = [near[name] for name in difflib.get_close_matches(word.lower(), near, n=1)] or elsewhere
    return f"did you mean {meant[0]}?" if meant else None
