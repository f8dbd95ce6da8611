"""The section `[web]`: what its readers accept and refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslctl.config.settings import load
from sslctl.config.web import WebSection
from sslctl.errors import ConfigError


def read(tmp_path: Path, key: str, toml: str) -> object:
    """Return the value of `key` in a file with only this key."""
    path = tmp_path / "config.toml"
    path.write_text(f"[web]\n{key} = {toml}\n")
    return getattr(load(path, {}).web, key)


@pytest.mark.parametrize(
    ("key", "toml", "value"),
    [
        ("public_url", '""', ""),
        ("public_url", '"https://ssl.example.net/"', "https://ssl.example.net"),
        ("public_url", '"http://127.0.0.1:8080"', "http://127.0.0.1:8080"),
        ("person_header", '"X-Person"', "X-Person"),
        ("person_header", '"Remote-User"', "Remote-User"),
        ("groups_header", '"X-Forwarded-Groups"', "X-Forwarded-Groups"),
        ("viewers", '["*", "bob", "@team ssl"]', ("*", "bob", "@team ssl")),
        ("operators", '["bob@example.net", "李雷"]', ("bob@example.net", "李雷")),
        ("socket_group", '"www-data"', "www-data"),
    ],
)
def test_valid_value_is_accepted(tmp_path: Path, key: str, toml: str, value: object) -> None:
    assert read(tmp_path, key, toml) == value


@pytest.mark.parametrize(
    ("key", "toml"),
    [
        ("public_url", '"http://ssl.example.net"'),
        ("public_url", '"https://ssl.example.net/page"'),
        ("public_url", '"https://bob:secret@ssl.example.net"'),
        ("public_url", '"ssl.example.net"'),
        # Servers treat "_" as "-", or drop the header.
        ("person_header", '"X_Person"'),
        ("person_header", '"X-Person:"'),
        ("person_header", '"X-"'),
        ("person_header", "1"),
        # Visitors send these headers themselves.
        ("person_header", '"User-Agent"'),
        ("person_header", '"x-forwarded-for"'),
        ("groups_header", '"Accept-Language"'),
        ("groups_header", '"Cookie"'),
        ("viewers", '["a,b"]'),
        ("viewers", '[""]'),
        ("viewers", '["@"]'),
        ("viewers", '"bob"'),
        # A wrong "*" would give everyone the private keys.
        ("keys", '["*"]'),
        ("operators", '["*"]'),
        ("operators", '["a\\u202eb"]'),
        ("socket_group", '"www data"'),
    ],
)
def test_invalid_value_is_refused(tmp_path: Path, key: str, toml: str) -> None:
    with pytest.raises(ConfigError, match=rf"web\.{key} must ") as caught:
        read(tmp_path, key, toml)
    assert "secret" not in caught.value.message


def test_section_lets_nobody_in_without_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.touch()
    assert load(path, {}).web == WebSection()
    assert WebSection().viewers == WebSection().operators == WebSection().keys == ()
