"""The credentials of an external account in the section `[acme]`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslctl.config.acme import read_hmac_key
from sslctl.config.settings import load
from sslctl.errors import ConfigError

KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wE"


def _file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "hmac.key"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (KEY, KEY),
        (f"  {KEY}=\r\n", KEY),
        ("a+/b" * 8, "a-_b" * 8),
    ],
)
def test_read_hmac_key_returns_base64url_without_padding(tmp_path: Path, text: str, key: str) -> None:
    assert read_hmac_key(_file(tmp_path, text)) == key


@pytest.mark.parametrize("text", ["", KEY[:20], f"{KEY} {KEY}", f'"{KEY}"', f"kid {KEY}", "é" * 40, KEY[:41]])
def test_read_hmac_key_refuses_what_is_no_key_and_does_not_quote_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"acme\.eab_hmac_key_file: .* has no HMAC key") as caught:
        read_hmac_key(_file(tmp_path, text))
    assert not text or text not in f"{caught.value.message}{caught.value.hint}"


def test_read_hmac_key_refuses_a_file_that_everyone_can_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="everyone has access"):
        read_hmac_key(_file(tmp_path, KEY, 0o644))


@pytest.mark.parametrize(
    ("present", "absent"), [("eab_kid", "eab_hmac_key_file"), ("eab_hmac_key_file", "eab_kid")]
)
def test_load_refuses_half_of_the_credentials(tmp_path: Path, present: str, absent: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[acme]\n{present} = "/x"\n')
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=f"^acme.{present} is set, but acme.{absent} is not$"):
        load(path, {})


@pytest.mark.parametrize("kid", ["two words", "new\nline", "x" * 501, "ключ"])
def test_load_refuses_an_identifier_that_no_ca_gives(kid: str) -> None:
    with pytest.raises(ConfigError, match=r"acme\.eab_kid must be the key identifier"):
        load(None, {"SSLCTL_ACME_EAB_KID": kid})
