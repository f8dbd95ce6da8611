"""The name of a CA for people: the host of its directory."""

from __future__ import annotations

from urllib.parse import urlsplit

from sslctl.text import clean


def ca_name(directory_url: str) -> str:
    """Return the name of the CA with the directory `directory_url`: its host, with a port that is not the usual one; cleaned.

    An empty one has no name.
    """
    return clean(urlsplit(directory_url).netloc or directory_url, 100)
