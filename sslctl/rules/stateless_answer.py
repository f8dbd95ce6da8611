"""The stateless answer to HTTP-01 challenges (RFC 8555, section 8.3): the token, a dot, and the thumbprint of the account key.

A server that knows the thumbprint answers every challenge of the account by itself. `configuration` has the lines for some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

_TOKEN = "[A-Za-z0-9_-]{1,255}"  # noqa: S105 - the form of a token, not a secret
PATH = "/.well-known/acme-challenge/"
"""The path below which the CA asks for tokens (RFC 8555, section 8.3)."""

_PATH = r"/\.well-known/acme-challenge/"


def key_authorization(token: str, thumbprint: str) -> str:
    """Return what is answered to the challenge `token` (RFC 8555, section 8.1)."""
    return f"{token}.{thumbprint}"


def configuration(server: str, thumbprint: str) -> list[str]:
    """Return the lines for the configuration of `server`, one of `SERVERS`.

    Everything else below the path of the challenges gets 404: no token may contain a character of another kind.
    """
    return SERVERS[server](thumbprint).splitlines()


def _nginx(thumbprint: str) -> str:
    # \z: in a regular expression of PCRE `$` also matches before a line feed at the end.
    return rf"""# In each server block for port 80:
location ^~ /.well-known/acme-challenge/ {{
    location ~ "^{_PATH}({_TOKEN})\z" {{
        default_type text/plain;
        return 200 "$1.{thumbprint}";
    }}
    return 404;
}}"""


def _haproxy(thumbprint: str) -> str:
    # HAProxy does not decode the path, so it has no line feed.
    return f"""# In each frontend for port 80, before other http-request rules:
http-request return status 200 content-type text/plain lf-string "%[path,field(4,/)].{thumbprint}" if {{ path_reg '^{_PATH}{_TOKEN}$' }}
http-request return status 404 if {{ path_beg /.well-known/acme-challenge/ }}"""


def _caddy(thumbprint: str) -> str:
    return f"""# In each site block for http://:
@acme_challenge path_regexp token ^{_PATH}({_TOKEN})$
handle @acme_challenge {{
    header Content-Type text/plain
    respond "{{re.token.1}}.{thumbprint}"
}}
handle /.well-known/acme-challenge/* {{
    respond 404
}}"""


def _apache(thumbprint: str) -> str:
    return rf"""# In each <VirtualHost *:80>, with the modules headers and rewrite:
<LocationMatch "^{_PATH}">
    RewriteEngine On
    RewriteRule ^ - [L,R=404]
</LocationMatch>
<LocationMatch "^{_PATH}(?<token>{_TOKEN})\z">
    RewriteEngine On
    RewriteRule ^ - [L,R=200]
    ErrorDocument 200 "%{{env:MATCH_TOKEN}}.{thumbprint}"
    Header always set Content-Type text/plain
</LocationMatch>"""


SERVERS: Mapping[str, Callable[[str], str]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
    "caddy": _caddy,
    "apache": _apache,
}
"""The servers whose configuration is known."""
