"""The section `[acme]`: the CA, and how certbot answers its challenges."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sslctl.config import values as read
from sslctl.config.limits import READ as READ_LIMITS
from sslctl.config.limits import LimitsSection
from sslctl.config.secret_file import read_secret
from sslctl.errors import BadInput, ConfigError
from sslctl.rules.certificate_choice import KEY_TYPES, read_preferred_chain
from sslctl.text import clean

# Printable ASCII without blanks: no CA gives another key identifier.
_KEY_ID = re.compile(r"[!-~]{1,500}", re.ASCII)
# RFC 7518, section 3.2, asks for 32 bytes; a key of less than 16 was cut off.
_FEWEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class FallbackSection:
    """An `[[acme.fallback]]`: a CA that is used while those before it issue nothing.

    The fields are those of `AcmeSection` and `[limits]`. An empty `email` is that of the first CA.
    """

    directory_url: str
    caa_identities: tuple[str, ...]
    email: str = ""
    eab_kid: str = ""
    eab_hmac_key_file: Path | None = None
    ca_bundle: Path | None = None
    profile: str = ""
    preferred_chain: str = ""
    limits: LimitsSection = field(default_factory=LimitsSection)


@dataclass(frozen=True, slots=True)
class AcmeSection:
    """The CA, and how certbot answers its challenges.

    `eab_kid` and `eab_hmac_key_file` are the credentials that some CAs give to their customers, for the registration of an account
    (external account binding, RFC 8555, section 7.3.4).
    """

    directory_url: str = "https://acme-v02.api.letsencrypt.org/directory"
    email: str = ""
    eab_kid: str = ""
    eab_hmac_key_file: Path | None = None
    ca_bundle: Path | None = None
    mode: str = "webroot"
    webroot: Path = Path("/var/www/acme")
    http01_port: int = 80
    http01_address: str = ""
    key_type: str = "ecdsa"
    profile: str = ""
    preferred_chain: str = ""
    workers: int = 48
    timeout_seconds: float = 180
    caa_identities: tuple[str, ...] = ("letsencrypt.org",)
    fallback: tuple[FallbackSection, ...] = ()

    def of_fallback(self, fallback: FallbackSection) -> AcmeSection:
        """Return this section for a fallback CA: with its values where they are the CA's."""
        return replace(
            self,
            directory_url=fallback.directory_url,
            email=fallback.email or self.email,
            eab_kid=fallback.eab_kid,
            eab_hmac_key_file=fallback.eab_hmac_key_file,
            ca_bundle=fallback.ca_bundle,
            profile=fallback.profile,
            preferred_chain=fallback.preferred_chain,
            caa_identities=fallback.caa_identities,
            fallback=(),
        )


def _key_id(value: object) -> str:
    """Read the identifier of a key at the CA; may be empty."""
    if value != "" and not (isinstance(value, str) and _KEY_ID.fullmatch(value)):
        raise ValueError("must be the key identifier (kid) that the CA gave, without blanks, or empty")
    return str(value)


def _preferred_chain(value: object) -> str:
    """Read a part of an issuer's name; may be empty."""
    try:
        return "" if value == "" else read_preferred_chain(value if isinstance(value, str) else "")
    except BadInput as error:
        raise ValueError(f"cannot be used: {error.message}") from None


_READ_OF_CA: Mapping[str, Callable[[object], object]] = {
    "directory_url": read.directory_url,
    "email": read.email,
    "eab_kid": _key_id,
    "eab_hmac_key_file": read.optional_path,
    "ca_bundle": read.optional_path,
    "profile": read.token,
    "preferred_chain": _preferred_chain,
    "caa_identities": read.many(read.name),
}


def _read_limits(value: object) -> LimitsSection:
    """Read the table `[acme.fallback.limits]`."""
    if not isinstance(value, dict):
        raise ValueError("must be a table with the keys of [limits]")  # noqa: TRY004 - as every reader
    return LimitsSection(**_read_table(value, READ_LIMITS))


def _read_table(
    table: Mapping[str, object], readers: Mapping[str, Callable[[object], object]]
) -> dict[str, Any]:
    """Return the values of `table`. Raise `ValueError`, which names the key."""
    unknown = next((key for key in table if key not in readers), None)
    if unknown is not None:
        raise ValueError(f"{clean(unknown, 60)} is not a key; the keys are {', '.join(readers)}")
    found = {}
    for key, value in table.items():
        try:
            found[key] = readers[key](value)
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None
    return found


def _read_fallbacks(value: object) -> tuple[FallbackSection, ...]:
    """Read the array of tables `[[acme.fallback]]`."""
    readers = {**_READ_OF_CA, "limits": _read_limits}
    fallbacks: list[FallbackSection] = []
    for number, table in enumerate(read.tables(value, readers), 1):
        try:
            values = _read_table(table, readers)
            absent = [key for key in ("directory_url", "caa_identities") if not values.get(key)]
            if absent:
                raise ValueError(f"{absent[0]} is not set")  # noqa: TRY301 - it gets its number below
            fallback = FallbackSection(**values)
            require_complete(fallback)
        except (ValueError, ConfigError) as error:
            raise ValueError(f"{number}: {error}") from None
        if fallback.directory_url in {each.directory_url for each in fallbacks}:
            raise ValueError(f"{number} has the directory_url of an earlier one")
        fallbacks.append(fallback)
    return tuple(fallbacks)


READ: Mapping[str, Callable[[object], object]] = {
    **_READ_OF_CA,
    "mode": read.choice("webroot", "standalone", "stateless"),
    "webroot": read.path,
    "http01_port": read.port,
    "http01_address": read.address,
    "key_type": read.choice("ecdsa", "rsa", *KEY_TYPES),
    "workers": read.integer(1, 64),
    "timeout_seconds": read.seconds,
    "fallback": _read_fallbacks,
}
"""The reader of each key."""


def require_complete(section: AcmeSection | FallbackSection) -> None:
    """Raise `ConfigError` if only one of the two credentials of an external account is set, or a fallback CA is the first CA."""
    if isinstance(section, AcmeSection) and section.directory_url in {
        each.directory_url for each in section.fallback
    }:
        raise ConfigError(
            f"acme.fallback: {clean(section.directory_url)} is the first CA already",
            hint="a fallback is another CA: remove it, or change its directory_url",
        )
    prefix = "acme." if isinstance(section, AcmeSection) else ""
    keys = {f"{prefix}eab_kid": section.eab_kid, f"{prefix}eab_hmac_key_file": section.eab_hmac_key_file}
    absent = [key for key, value in keys.items() if not value]
    if len(absent) == 1:
        present = next(key for key in keys if key not in absent)
        raise ConfigError(
            f"{present} is set, but {absent[0]} is not",
            hint="a CA that gives credentials of an external account gives both, and registration needs both",
        )


def read_hmac_key(path: Path, key: str = "acme.eab_hmac_key_file") -> str:
    """Return the HMAC key in the file `path` in base64url without padding, as RFC 8555, section 7.3.4, has it.

    `key` is the key of the configuration that names it. Raise `ConfigError` if the file cannot be used or has no such key. No message
    quotes it.
    """
    text = read_secret(path, key, "the HMAC key that the CA gave").strip()
    # Some CAs print it in the other alphabet of base64, or with its padding.
    normal = text.translate(str.maketrans("+/", "-_")).rstrip("=")
    try:
        content = base64.b64decode(normal + "=" * (-len(normal) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if len(content) < _FEWEST_BYTES:
        raise ConfigError(
            f"{key}: {clean(path)} has no HMAC key in base64url of at least {_FEWEST_BYTES} bytes",
            hint="the file must contain only the key as the CA printed it, on one line",
        )
    return normal
