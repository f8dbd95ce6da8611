"""The notes about the answers to an order's challenges, which outlive the run that put them up."""

from __future__ import annotations

import os
import time
from math import inf
from pathlib import Path

import pytest

from sslctl.issuer.certbot import challenge_files
from sslctl.issuer.certbot.answers import Answers

PLACE = Path(".well-known") / "acme-challenge"


@pytest.fixture
def webroot(tmp_path: Path) -> Path:
    (tmp_path / "webroot").mkdir()
    with challenge_files.opened(tmp_path / "webroot") as folder:
        for token in ("one", "two"):
            challenge_files.write(folder, token, b"answer")
    return tmp_path / "webroot"


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    found = Answers(tmp_path / "answers" / "7")
    for token in ("one", "two"):
        found.note(token)
    return found


def _files(webroot: Path) -> set[str]:
    return {path.name for path in (webroot / PLACE).iterdir()}


def test_nothing_is_asked_before_the_first_run(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers")
    assert not answers.has_asked
    answers.remove_all(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_answer_that_the_ca_may_validate_must_stay_until_it_has_decided(answers: Answers) -> None:
    assert answers.may_end("one")
    answers.note_asked("one")
    assert (answers.may_end("one"), answers.may_end("two")) == (False, True)
    answers.final.add("one")
    assert answers.may_end("one")


def test_answer_that_was_requested_twice_must_stay_until_the_order_is_closed(
    answers: Answers, webroot: Path
) -> None:
    """One validation may have succeeded while the other one still runs."""
    answers.note_asked("one")
    answers.note_asked("one")
    answers.final.add("one")
    assert not answers.may_end("one")
    answers.remove_final(webroot)
    assert _files(webroot) == {"one", "two"}
    answers.remove_all(webroot)
    assert _files(webroot) == set()


def test_next_run_knows_what_was_asked(answers: Answers, tmp_path: Path) -> None:
    answers.note_asked("two")
    again = Answers(tmp_path / "answers" / "7")
    again.note("two")
    assert (again.has_asked, again.is_asked("one"), again.is_asked("two")) == (True, False, True)


def test_remove_final_removes_the_files_of_what_is_decided_and_no_others(
    answers: Answers, webroot: Path
) -> None:
    answers.final = {"one", "of another order"}
    (webroot / PLACE / "of another order").write_text("answer")
    answers.remove_final(webroot)
    assert _files(webroot) == {"two", "of another order"}


def test_remove_all_removes_every_file_and_note_of_the_order(
    answers: Answers, webroot: Path, tmp_path: Path
) -> None:
    (tmp_path / "answers" / "7" / "..strange").touch()
    answers.remove_all(webroot)
    assert _files(webroot) == set()
    assert not (tmp_path / "answers" / "7").exists()


def test_time_of_a_request_is_known_and_never_negative(answers: Answers, tmp_path: Path) -> None:
    assert answers.seconds_since_asked("one") == answers.seconds_since_asked("none") == inf
    answers.note_asked("one")
    note = tmp_path / "answers" / "7" / "one"
    now = time.time()
    os.utime(note, (now - 100, now - 100))
    assert answers.seconds_since_asked("one") >= 100
    # As after the clock was set back.
    os.utime(note, (now + 86_400, now + 86_400))
    assert answers.seconds_since_asked("one") == 0


def test_unreadable_notes_count_as_none(tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("a file in the place of the folder")
    assert not Answers(tmp_path / "answers").has_asked
