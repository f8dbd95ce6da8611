"""The apprise URLs for notifications, from the configuration and from a file."""

from __future__ import annotations

from sslctl.config.secret_file import read_secret
from sslctl.config.settings import NotifySection
from sslctl.config.values import notify_url
from sslctl.errors import ConfigError
from sslctl.text import clean


def read_urls(section: NotifySection) -> tuple[str, ...]:
    """Return the URLs of `notify.urls`, then those of `notify.urls_file`: one a line, `#` begins a comment line.

    Raise `ConfigError`, which names a line and never a URL.
    """
    if section.urls_file is None:
        return section.urls
    text = read_secret(section.urls_file, "notify.urls_file", "URLs of apprise, one a line,")
    found = list(section.urls)
    for number, line in enumerate(text.decode(errors="replace").splitlines(), 1):
        url = line.strip()
        if not url or url.startswith("#"):
            continue
        try:
            found.append(notify_url(url))
        except ValueError as error:
            raise ConfigError(
                f"notify.urls_file: {clean(section.urls_file)}, line {number} {error}",
                hint="https://appriseit.com/services/ lists them",
            ) from None
    return tuple(found)


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, the only part that may be shown."""
    return url.partition("://")[0].lower()
