"""Whether the configuration says how to recognise a domain that points at the CDN."""

from __future__ import annotations

from sslctl.config.settings import CdnSection
from sslctl.errors import ConfigError
from sslctl.wording import C4

# Reserved for documentation (RFC 2606, sections 2 and 3), so no CDN has them. The default is one of them.
_RESERVED = (".example", ".example.com", ".example.net", ".example.org")


def suffix_hint() -> str:
    """Return how to set the suffixes."""
    return f"set cdn.cname_suffixes to the domains below which {C4} gives customers their CNAME targets"


def find_placeholders(section: CdnSection) -> list[str]:
    """Return the suffixes that are examples and not names of a real CDN."""
    return [suffix for suffix in section.cname_suffixes if f".{suffix.strip('.')}".endswith(_RESERVED)]


def require_recognisable(section: CdnSection) -> None:
    """Raise `ConfigError` if no domain could point at the CDN, because all that is configured is nothing or an example."""
    placeholders = find_placeholders(section)
    if section.ip_ranges or len(placeholders) < len(section.cname_suffixes):
        return
    if not placeholders:
        raise ConfigError(
            "cdn.cname_suffixes and cdn.ip_ranges are both empty, so no domain could point at the CDN"
        )
    raise ConfigError(
        f"cdn.cname_suffixes is {', '.join(placeholders)}, an example that must be replaced: no domain points there",
        hint=suffix_hint(),
    )
