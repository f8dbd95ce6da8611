"""The HTTP session of acme's client, which looks in the environment once for each server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import get_netrc_auth


class Session(requests.Session):
    """A session of `requests` that remembers the proxies, the password and the roots that it found for a server.

    `requests` looks for them again for each request, and merges what acme never sets, such as parameters and files. That costs as
    much CPU as to send the request.
    """

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[tuple[str, Any], tuple[Any, Any]] = {}

    def request(  # type: ignore[override]  # no files, and no settings for one request but `verify`
        self,
        method: str,
        url: str,
        params: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        verify: Any = None,
        **kwargs: Any,
    ) -> requests.Response:
        """Send a request as `requests` does."""
        server = "/".join(url.split("/", 3)[:3]), verify
        if server not in self._found:
            environment = self.merge_environment_settings(url, {}, None, verify, None)
            self._found[server] = get_netrc_auth(url), environment
        auth, settings = self._found[server]
        request = requests.PreparedRequest()
        request.prepare(
            method,
            url,
            headers=CaseInsensitiveDict({**self.headers, **(headers or {})}),
            data=data,
            params=params,
            auth=auth,
            cookies=self.cookies,
            hooks=self.hooks,
        )
        return self.send(request, **kwargs, **settings)
