"""The sentence at the end of a batch, in one form for all commands, and the next command at the end of an output."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from sslctl.cli.output.summary import WELL, Phrase, Tally, summarise
from tests.support.cdn import Cdn, Result
from tests.support.command_line import Terminal

WELL_ONE, MOVED, UNKNOWN = "well.example.com", "moved.example.com", "unknown.example.com"


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """A well domain, one that points elsewhere, and one that C4 does not know yet."""
    cdn.add_domain(WELL_ONE)
    cdn.add_domain(MOVED, points_at="elsewhere.example.org")
    cdn.sslctl("add", WELL_ONE, MOVED, UNKNOWN)
    return cdn


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        (Tally(well=40), "40 of 40 domains are well"),
        (Tally(well=1, waiting=1), "1 of 2 domains is well; 1 waits"),
        (
            Tally(38, 2, 2000, 1, 3),
            "38 of 2,044 domains are well; 2 wait, 1 is snoozed or abandoned, 3 have no result, 2,000 need a person: sslctl todo",
        ),
        (
            Tally(0, 0, 1, 2, 1),
            "0 of 4 domains are well; 2 are snoozed or abandoned, 1 has no result, 1 needs a person: sslctl todo",
        ),
    ],
)
def test_tally_is_described_in_one_sentence(numbers: Tally, sentence: str) -> None:
    total = numbers.well + numbers.waiting + numbers.needing + numbers.hidden + numbers.without_result
    assert numbers.describe(total) == sentence


def test_summary_leaves_out_empty_parts_and_names_its_noun() -> None:
    assert summarise(0, 1200, WELL, [(0, Phrase("waits", "wait"))], "names") == "0 of 1,200 names are well"


def last(result: Result) -> str:
    return result.stderr.splitlines()[-1]


def test_passes_end_with_a_summary_that_agrees_with_todo(fleet: Cdn) -> None:
    for command in (("add", WELL_ONE, MOVED, UNKNOWN), ("recheck", WELL_ONE, MOVED, UNKNOWN)):
        result = fleet.sslctl(*command)
        assert last(result) == "sslctl: 1 of 3 domains is well; 2 need a person: sslctl todo"
    assert fleet.sslctl("todo", "--json").json["totals"]["domains"] == 2
    fleet.sslctl("snooze", MOVED, "--until", "7d")
    result = fleet.sslctl("recheck", WELL_ONE, MOVED, UNKNOWN)
    assert (
        last(result)
        == "sslctl: 1 of 3 domains is well; 1 is snoozed or abandoned, 1 needs a person: sslctl todo"
    )
    fleet.clock.move(days=1)
    tick = fleet.sslctl("daemon-tick")
    assert (
        tick.stdout.splitlines()[0].split(": ", 1)[1].startswith("0 of 1 due domains are well; 1 is snoozed")
    )


def test_every_batch_ends_with_a_summary(fleet: Cdn, tmp_path: Path) -> None:
    names = (WELL_ONE, MOVED, UNKNOWN)
    downloads = tmp_path / "list"
    downloads.write_text("\n".join(names))
    for command, sentence in (
        (
            ("add", "--no-wait", "new.example.com", WELL_ONE),
            "1 of 2 domains was recorded; 1 was managed already",
        ),
        (("check", *names), "1 of 3 names is ready for an order; 2 need a person"),
        (("message", *names), "1 of 3 domains is in a message; 2 need nothing of their customers"),
        (("note", *names, "--text", "mailed"), "3 of 3 domains were changed"),
        (("snooze", *names, "--until", "7d"), "2 of 3 domains were changed; 1 was not"),
        (
            ("download", "--from-file", str(downloads), "-o", str(tmp_path)),
            "1 of 3 domains was downloaded; 2 were not",
        ),
        (("adopt", *names), "0 of 3 domains are adopted; 1 has sslctl's own certificate, 2 were not"),
        (("delete", "--yes", *names), "3 of 3 domains were deleted"),
    ):
        assert last(fleet.sslctl(*command)) == f"sslctl: {sentence}", command


def test_json_has_no_summary(fleet: Cdn) -> None:
    names = (WELL_ONE, MOVED)
    for command in (
        ("recheck", *names),
        ("note", *names, "--text", "x"),
        ("check", *names),
        ("message", *names),
    ):
        assert " of 2 " not in fleet.sslctl(*command, "--json").stderr


def test_terminal_shows_the_next_command_which_works_when_pasted(fleet: Cdn) -> None:
    config = fleet.config_path.rename(fleet.folder / "my config.toml")
    with Terminal(fleet, "--config", str(config), "view", MOVED, columns=80, SSLCTL_CONFIG="") as terminal:
        assert terminal.end() == 0
    *lines, gap, line = terminal.lines
    assert (gap, line) == ("", f"next: sslctl --config '{config}' message {MOVED}")
    # No row of the history is wrapped, and no word is cut.
    history = lines[lines.index("History") + 1 :]
    assert history[0].split() == ["TIME", "ACTOR", "EVENT"]
    assert [row for row in history if row.startswith("  2026-") and "SGT" not in row] == []
    assert all(len(row) <= 80 for row in history)
    config.rename(fleet.config_path)
    result = fleet.sslctl(*shlex.split(line)[4:])
    assert (result.exit_code, result.stdout.startswith("Subject: ")) == (0, True)
    with Terminal(fleet, "recheck", MOVED) as terminal:
        terminal.end()
    assert terminal.lines[-1] == f"next: sslctl message {MOVED}"
    assert "next: sslctl " not in fleet.sslctl("view", MOVED).stdout
