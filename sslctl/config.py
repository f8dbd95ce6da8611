"""Configuration: one TOML file and the environment, to one frozen, wholly validated value.

The order of precedence and every key stand in README, "Configuration".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StateSection:
    """Where state lives. An empty `key_file` means `dir/master.key`."""

    dir: Path = Path("/var/lib/sslctl")
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class AcmeSection:
    """The CA, and how certbot answers its challenges."""

    directory_url: str = "https://acme-v02.api.letsencrypt.org/directory"
    email: str = ""
    ca_bundle: Path | None = None
    mode: str = "webroot"
    webroot: Path = Path("/var/www/acme")
    http01_port: int = 80
    http01_address: str = ""
    key_type: str = "ecdsa"
    profile: str = ""
    workers: int = 16
    timeout_seconds: float = 180
    caa_identities: tuple[str, ...] = ("letsencrypt.org",)


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
    """How a domain that points at the CDN looks. The ports differ from 80 and 443 in a sandbox alone."""

    cname_suffixes: tuple[str, ...] = ("cdn.example.net",)
    ip_ranges: tuple[IPv4Network | IPv6Network, ...] = ()
    probe_ports: bool = True
    probe_private: bool = False
    http_port: int = 80
    https_port: int = 443


@dataclass(frozen=True, slots=True)
class DnsSection:
    """`(address, port)` of each resolver; empty means the system's."""

    resolvers: tuple[tuple[str, int], ...] = ()
    timeout_seconds: float = 5


@dataclass(frozen=True, slots=True)
class RenewalSection:
    """When a certificate is renewed."""

    before_days: float = 7
    ari: str = "incident"


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. `path` is the file it came from, None where there was none."""

    state: StateSection = field(default_factory=StateSection)
    acme: AcmeSection = field(default_factory=AcmeSection)
    c4: C4Section = field(default_factory=C4Section)
    cdn: CdnSection = field(default_factory=CdnSection)
    dns: DnsSection = field(default_factory=DnsSection)
    renewal: RenewalSection = field(default_factory=RenewalSection)
    path: Path | None = None
