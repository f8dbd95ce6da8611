"""The section `[verify]`: which edges its readers accept and refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslctl.config.settings import load
from sslctl.errors import ConfigError


def read(tmp_path: Path, toml: str) -> list[str]:
    """Return the edges of a file with only this key, as text."""
    path = tmp_path / "config.toml"
    path.write_text(f"[verify]\nedges = {toml}\n")
    return [str(each) for each in load(path, {}).verify.edges]


@pytest.mark.parametrize(
    ("toml", "edges"),
    [
        ("[]", []),
        ('["192.0.2.1:443"]', ["192.0.2.1:443"]),
        ('["Edge-1.example.net:8443", "edge-1.example.net:8443"]', ["edge-1.example.net:8443"]),
        ('["[2001:DB8:0::1]:443", "[::1]:443"]', ["[2001:db8::1]:443", "[::1]:443"]),
        ('["localhost:443"]', ["localhost:443"]),
    ],
)
def test_edges_are_read_in_one_form(tmp_path: Path, toml: str, edges: list[str]) -> None:
    assert read(tmp_path, toml) == edges


@pytest.mark.parametrize(
    "edge",
    ["", "edge1.example.net", "edge1.example.net:0", "edge1.example.net:70000", "::1:443", "[::1]", "[192.0.2.1]:443", "192.0.2.300:443",
     "192.0.2:443", "https://edge1.example.net:443", "edge1.example.net:443/x", "edge 1:443", "-edge:443", "edge1.example.net:\uff14", "a..b:1"],
)  # fmt: skip
def test_text_that_is_no_edge_is_refused(tmp_path: Path, edge: str) -> None:
    with pytest.raises(ConfigError, match="must be edges with their ports, like"):
        read(tmp_path, f'["{edge}"]')


def test_too_many_edges_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 64 edges"):
        read(tmp_path, str([f"192.0.2.{number}:443" for number in range(65)]))


def test_environment_separates_edges_with_commas() -> None:
    found = load(None, {"SSLCTL_VERIFY_EDGES": "192.0.2.1:443, [::1]:8443"}, system_file=Path("/nonexistent"))
    assert [str(each) for each in found.verify.edges] == ["192.0.2.1:443", "[::1]:8443"]
