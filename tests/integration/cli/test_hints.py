"""Hints of errors: misspelt commands, options and names in the wrong place, and names that may be meant."""

from __future__ import annotations

import json

import pytest

from tests.support import words
from tests.support.cdn import Cdn

SHOPS = ("shop.acme.example", "shop.example.com", "store.example.com")


@pytest.fixture
def shops(cdn: Cdn) -> Cdn:
    """Three managed domains; two names have "shop" in them."""
    assert cdn.sslctl("add", "--no-wait", *SHOPS).exit_code == 0
    return cdn


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["lst"], "did you mean `sslctl list` or `sslctl set`? see `sslctl --help`"),
        (["ls"], "did you mean `sslctl list`? see `sslctl --help`"),
        (["Renew"], "did you mean `sslctl recheck`? see `sslctl --help`"),
        (["recheckk", "shop.example.com"], "did you mean `sslctl recheck` or `sslctl check`? see `sslctl --help`"),
        (["--json", "list"], "write `sslctl list --json`; see `sslctl --help`"),
        (
            ["--progress", "plain", "--json", "--status", "Failure", "list", "a b"],
            "write `sslctl --progress plain list --json --status Failure 'a b'`; see `sslctl --help`",
        ),
        (["--from-file=names", "recheck"], "write `sslctl recheck --from-file=names`; see `sslctl --help`"),
        (["--json"], "such as `sslctl list --json`; see `sslctl --help`"),
        (["list", "--config", "x.toml"], "write `sslctl --config x.toml list`; see `sslctl list --help`"),
        (["view", "a.example", "--progress=plain"], "write `sslctl --progress=plain view a.example`; see `sslctl view --help`"),
        (["--jsn", "list"], "see `sslctl --help`"),
        (
            ["todo", "--owner", "customer", "acme"],
            (
                "todo takes filters such as --customer and no names; `sslctl list acme` lists the domains whose names match; "
                "see `sslctl todo --help`"
            ),
        ),
    ],
    ids=words,
)  # fmt: skip
def test_wrong_usage_names_the_right_command(cdn: Cdn, arguments: list[str], hint: str) -> None:
    result = cdn.sslctl(*arguments)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, f"sslctl: hint: {hint}")
    assert "Did you mean '--version'" not in result.stderr


def test_hint_about_usage_is_in_the_json_too(cdn: Cdn) -> None:
    found = json.loads(cdn.sslctl("--json", "list").stdout)
    assert (found["message"], found["hint"]) == (
        "--json belongs after the command.",
        "write `sslctl list --json`; see `sslctl --help`",
    )


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["view", "store"], "did you mean store.example.com? `sslctl list store` lists all that match"),
        (["check", "shop"], "did you mean shop.acme.example or shop.example.com? `sslctl list shop` lists all that match"),
        (
            ["recheck", "shop"],
            (
                "did you mean shop.acme.example or shop.example.com? `sslctl list shop` lists all that match; "
                "`sslctl recheck --match shop` takes them"
            ),
        ),
        (["note", "*.acme.example", "x"], "did you mean shop.acme.example? `sslctl list '*.acme.example'` lists all that match"),
        (["delete", "--yes", "store", "shop.example.com"], "did you mean store.example.com? `sslctl list store` lists all that match"),
        (
            ["recheck", "store", "nothing"],
            (
                "did you mean store.example.com? `sslctl list store` lists all that match; "
                "`sslctl recheck --match store` takes them"
            ),
        ),
        (
            ["view", "shop.exmple.com"],
            "did you mean shop.example.com? `sslctl list` shows what is; `sslctl add shop.exmple.com` takes it in",
        ),
        (
            ["recheck", "shop.exmple.com"],
            "did you mean shop.example.com? `sslctl list` shows what is; `sslctl add shop.exmple.com` takes it in",
        ),
    ],
    ids=words,
)  # fmt: skip
def test_part_of_a_name_or_a_mistyped_name_proposes_managed_domains(
    shops: Cdn, arguments: list[str], hint: str
) -> None:
    result = shops.sslctl(*arguments)
    assert result.exit_code in (2, 9)
    assert result.stderr.splitlines()[-1] == f"sslctl: hint: {hint}"


def test_many_matches_are_named_by_example(shops: Cdn) -> None:
    shops.sslctl("add", "--no-wait", *(f"many{number}.example.com" for number in range(5)))
    assert "several domains match, such as many0.example.com, many1.example.com, many2.example.com; `" in (
        shops.sslctl("view", "many").stderr
    )


@pytest.mark.parametrize("arguments", [["view", "nowhere"], ["add", "shop"], ["view", "a_b"]], ids=words)
def test_name_without_a_match_has_no_such_hint(shops: Cdn, arguments: list[str]) -> None:
    result = shops.sslctl(*arguments)
    assert (result.exit_code, "did you mean" in result.stderr) == (2, False)


def test_error_stays_as_it_is_without_a_state(new_cdn: Cdn) -> None:
    result = new_cdn.sslctl("view", "shop")
    assert (result.exit_code, "it is a single label; use the full name" in result.stderr) == (2, True)
    assert not (new_cdn.folder / "state").exists()
