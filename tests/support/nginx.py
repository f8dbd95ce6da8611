"""The configuration of an nginx that a test runs in the foreground, with all of its files in one folder."""

from __future__ import annotations

import os
from pathlib import Path

_MAIN = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{content}
}}
"""


def nginx_configuration(folder: Path, content: str) -> str:
    """Return a whole configuration with `content` in its block `http`."""
    user = "user root;" if os.geteuid() == 0 else ""
    return _MAIN.format(folder=folder, user=user, content=content)
