"""`sslctl list` on a terminal: the counts below the table, the pager, and international names in Unicode."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sslctl.rules.model import Source
from tests.support import words
from tests.support.cdn import Cdn
from tests.support.command_line import Terminal, run

# The terminal has 40 lines.
_MANY = [f"d{number:04}.example.com" for number in range(1200)]
_PAGER = "sed s/^/paged:/"


def _fill(cdn: Cdn, *names: str) -> None:
    store = cdn.app().store
    store.add_domains(names)
    store.close()


def _lines(cdn: Cdn, *arguments: str, **more: str) -> list[str]:
    variables = {"PAGER": _PAGER, **more}
    with Terminal(cdn, "list", *arguments, columns=160, wrapper=(), **variables) as terminal:
        assert terminal.end() == 0
    return terminal.lines


def test_list_prints_counts_below_the_table_on_a_terminal_only(cdn: Cdn) -> None:
    _fill(cdn, *_MANY[:12])
    assert _lines(cdn)[-1] == "12 domains: 12 Pending"
    assert _lines(cdn, "d000")[-1] == "10 of 12 domains: 10 Pending"
    assert _lines(cdn, "d000", "--limit", "3")[-1] == "10 of 12 domains: 10 Pending; the first 3 are listed"
    assert "12 domains" not in run(cdn, "list").stdout
    cdn.sslctl("delete", _MANY[0], "--yes", "--keep-on-c4")
    assert _lines(cdn, "--deleted")[-1] == "1 deleted domain"
    counts = cdn.sslctl("list", "d000", "--json", "--limit", "2").json["counts"]
    assert (counts["matching"], counts["listed"], counts["managed"]) == (9, 2, 11)
    assert counts["by_status"] == {
        "Discard": 0, "Emergency": 0, "Expired": 0, "Failure": 0, "Pending": 9, "Success": 0,
    }  # fmt: skip


def test_long_list_goes_through_the_pager(cdn: Cdn) -> None:
    _fill(cdn, *_MANY)
    lines = _lines(cdn)
    assert all(line.startswith("paged:") for line in lines)
    assert [line.removeprefix("paged:").split()[0] for line in lines[1:-1]] == _MANY
    assert lines[-1] == "paged:1,200 domains: 1,200 Pending"


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (["--no-pager"], {}),
        (["--limit", "36"], {}),
        ([], {"NO_PAGER": "1"}),
        ([], {"PAGER": ""}),
        ([], {"PAGER": "no-such-program"}),
        ([], {"PAGER": "sed 's"}),
        ([], {"TERM": "dumb"}),
    ],
    ids=words,
)
def test_list_uses_no_pager(cdn: Cdn, arguments: list[str], more: dict[str, str]) -> None:
    _fill(cdn, *_MANY[:300])
    lines = _lines(cdn, *arguments, **more)
    assert [line for line in lines if line.startswith("paged:")] == []
    assert lines[0].startswith("DOMAIN")


def test_list_under_sudo_uses_less_without_its_commands(cdn: Cdn, tmp_path: Path) -> None:
    """`sudo -u sslctl sslctl list` must not be a way to a shell that can read the keys."""
    _fill(cdn, *_MANY[:300])
    less = tmp_path / "less"
    less.write_text("#!/bin/sh\necho secure=$LESSSECURE\ncat >/dev/null\n")
    less.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert _lines(cdn, PATH=path, SUDO_UID="1000", PAGER=_PAGER) == ["secure=1"]
    assert _lines(cdn, PATH=path, PAGER="less") == ["secure="]


def test_list_that_just_does_not_fit_is_paged(cdn: Cdn) -> None:
    _fill(cdn, *_MANY[:300])
    assert _lines(cdn, "--limit", "38")[0].startswith("paged:DOMAIN")


def test_list_is_not_paged_if_its_output_is_no_terminal(cdn: Cdn) -> None:
    _fill(cdn, *_MANY[:300])
    assert run(cdn, "list", PAGER=_PAGER).stdout.startswith("DOMAIN")


def test_list_ends_quietly_if_the_pager_ends_early(cdn: Cdn) -> None:
    _fill(cdn, *_MANY)
    for pager in ("head -n 3", "true", "false"):
        lines = _lines(cdn, PAGER=pager)
        assert [line for line in lines if "Traceback" in line or "error" in line] == []
        assert len(lines) <= 3


def test_list_shows_international_names_in_unicode_on_a_terminal_that_has_the_characters(cdn: Cdn) -> None:
    _fill(cdn, "xn--bcher-kva.example.com", "xn--fiqs8s.example.com", "xn--80ak6aa92e.example.com")
    first = {line.split()[0] for line in _lines(cdn, PYTHONIOENCODING="utf-8")[1:-1]}
    # The last one is Cyrillic and looks like "apple".
    assert first == {"bücher.example.com", "中国.example.com", "xn--80ak6aa92e.example.com"}
    in_ascii = {line.split()[0] for line in _lines(cdn, PYTHONIOENCODING="ascii")[1:-1]}
    assert all(name.startswith("xn--") for name in in_ascii)
    piped = run(cdn, "list", PYTHONIOENCODING="utf-8").stdout
    assert ("bücher" in piped, "xn--bcher-kva" in piped) == (False, True)
    for programs in ("--json", "--csv"):
        assert "bücher" not in cdn.sslctl("list", programs).stdout
    columns = {line.index("Pending") for line in _lines(cdn, "bücher", PYTHONIOENCODING="utf-8")[1:-1]}
    assert len(columns) == 1


def test_list_shows_on_a_terminal_how_many_other_names_a_certificate_has(cdn: Cdn) -> None:
    _fill(cdn, *_MANY[2:600])
    app = cdn.app()
    for name, others in (("d0001.example.com", 2), ("xn--bcher-kva.example.com", 11), ("zz.example.com", 0)):
        app.store.add_domain(name, tuple(f"s{number}.{name}" for number in range(others)), Source.C4)
    app.store.close()
    lines = _lines(cdn, "--no-pager", PYTHONIOENCODING="utf-8")
    names = [line.partition("  ")[0] for line in lines[1:-1]]
    assert [name for name in names if "+" in name] == ["d0001.example.com +2", "bücher.example.com +11"]
    assert "zz.example.com" in names
    # The names are known before the first block of rows, so that all blocks have the same columns.
    assert {line.index("Pending") for line in lines[1:-1]} == {len("xn--bcher-kva.example.com +11") + 2}


def test_list_that_is_piped_has_names_alone_in_its_first_column(cdn: Cdn) -> None:
    app = cdn.app()
    app.store.add_domain("shop.example.com", ("www.shop.example.com",), Source.C4)
    app.store.close()
    assert run(cdn, "list").stdout.splitlines()[1].split()[:2] == ["shop.example.com", "Pending"]
    assert "+1" not in cdn.sslctl("list", "--csv").stdout


def test_number_of_other_names_stays_if_a_long_name_is_shortened(cdn: Cdn) -> None:
    name = f"{'a' * 60}.{'b' * 60}.example.com"
    app = cdn.app()
    app.store.add_domain(name, (f"www.{name}",), Source.C4)
    app.store.close()
    with Terminal(cdn, "list", "--no-pager", columns=80, wrapper=()) as terminal:
        assert terminal.end() == 0
    assert all(len(line) <= 80 for line in terminal.lines)
    first = terminal.lines[1].partition("  ")[0]
    assert ("…" in first, first.endswith(".com +1")) == (True, True)
