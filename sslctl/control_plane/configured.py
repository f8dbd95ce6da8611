"""The control plane that the configuration names: a folder, or C4."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sslctl.config.settings import Config
from sslctl.control_plane import ControlPlane
from sslctl.errors import ConfigError


def make_control_plane(
    config: Config,
    read_served: Callable[[str, int, str], str | None],
    timeout_seconds: float,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> ControlPlane:
    """Return the client of the configured control plane. Raise `ConfigError` if none is configured.

    `read_served` is that of `folder.configured.make_control_plane`. C4 has `timeout_seconds` for each response; `sleep` waits before
    a request is repeated.
    """
    if config.folder.dir is not None:
        from sslctl.control_plane.folder import configured  # noqa: PLC0415 - most installations have C4

        return configured.make_control_plane(config, config.folder.dir, read_served, clock)
    from sslctl.control_plane.c4.client import C4Client  # noqa: PLC0415 - a folder needs no HTTP

    section = config.c4
    if not section.base_url or section.token_file is None:
        raise ConfigError(
            "c4.base_url and c4.token_file are not set, so C4 cannot be asked",
            hint=f"set them in {config.path or 'a configuration file'}; docs/configuration.md lists every key",
        )
    return C4Client(
        section.base_url,
        section.token_file,
        ca_bundle=section.ca_bundle,
        timeout_seconds=timeout_seconds,
        clock=clock,
        sleep=sleep,
    )
