"""Another certificate appears on C4 while sslctl works, or the replacement of a text certificate fails midway."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from sslctl.app import App
from sslctl.certificates.x509 import read_leaf
from sslctl.errors import Exit
from sslctl.rules.model import Bundle, Source
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from sslctl.store.sqlite.waiting import Waiting
from tests.support.cdn import Cdn
from tests.support.database_lock import EXCLUSIVE, READ, WRITE, LockHolder

NAME = "shop.example.com"


class C4WithHooks:
    """C4, and what else happens there: `before_upload` and `before_remove` are called before each such request, with its number.

    `after_remove` is called after each `DELETE`.
    """

    def __init__(
        self,
        real: Any,
        *,
        before_upload: Callable[[int], None] = lambda _number: None,
        before_remove: Callable[[int], None] = lambda _number: None,
        after_remove: Callable[[], None] = lambda: None,
    ) -> None:
        self._real = real
        self._before_upload, self._before_remove = before_upload, before_remove
        self._after_remove = after_remove
        self.uploads = self.removals = 0

    def __getattr__(self, method: str) -> Any:
        return getattr(self._real, method)

    def upload(self, *arguments: Any) -> Any:
        self.uploads += 1
        self._before_upload(self.uploads)
        return self._real.upload(*arguments)

    def remove(self, *arguments: Any) -> Any:
        self.removals += 1
        self._before_remove(self.removals)
        removed = self._real.remove(*arguments)
        self._after_remove()
        return removed


class Killed(BaseException):
    """Stands for kill -9: no code catches it."""


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    cdn.add_domain(NAME)
    return cdn


@pytest.fixture
def text(shop: Cdn) -> Bundle:
    """A text certificate that a customer installed on C4."""
    pair = shop.text_pair(NAME, days=365)
    shop.app().control_plane.upload(NAME, pair, Source.TEXT)
    return pair


@pytest.fixture
def theirs(shop: Cdn) -> Bundle:
    """Another pair of the customer's, not installed yet."""
    return shop.text_pair(NAME, days=365)


def fingerprint(pair: Bundle) -> str:
    return read_leaf(pair.certificate).fingerprint


def view(cdn: Cdn) -> Any:
    return cdn.sslctl("view", NAME, "--json").json["domain"]


def app_with(cdn: Cdn, **hooks: Any) -> App:
    """Return sslctl's components with C4's `hooks`."""
    app = cdn.app()
    app.control_plane = C4WithHooks(app.control_plane, **hooks)
    return app


def install(cdn: Cdn, pair: Bundle, source: Source = Source.TEXT) -> None:
    cdn.app().control_plane.upload(NAME, pair, source)


def removals(cdn: Cdn) -> list[int | None]:
    return [request.status for request in cdn.c4.requests if request.method == "DELETE"]


@pytest.mark.parametrize("preconditions", [True, False])
def test_upload_does_not_replace_a_text_certificate_that_was_installed_after_the_look(
    shop: Cdn, theirs: Bundle, *, preconditions: bool
) -> None:
    shop.sslctl("add", NAME)
    shop.c4.features.preconditions = preconditions
    app = app_with(shop, before_upload=lambda number: install(shop, theirs) if number == 1 else None)
    result = shop.sslctl("recheck", NAME, "--force-renew", app=app)
    assert shop.installed(NAME) == fingerprint(theirs)
    assert "FOREIGN_TEXT" in result.stdout
    assert result.exit_code == 3
    assert removals(shop) == []


def test_upload_does_not_replace_a_c4_certificate_that_was_installed_after_the_look(
    shop: Cdn, theirs: Bundle
) -> None:
    shop.sslctl("add", NAME)
    app = app_with(
        shop, before_upload=lambda number: install(shop, theirs, Source.C4) if number == 1 else None
    )
    result = shop.sslctl("recheck", NAME, "--force-renew", app=app)
    assert shop.installed(NAME) == fingerprint(theirs)
    assert (result.exit_code, view(shop)["reason"]["code"]) == (3, "C4_CHANGED")
    assert fingerprint(theirs)[:16] in result.stdout


def test_first_upload_does_not_replace_a_certificate_that_was_installed_after_the_look(
    shop: Cdn, theirs: Bundle
) -> None:
    app = app_with(
        shop, before_upload=lambda number: install(shop, theirs, Source.C4) if number == 1 else None
    )
    assert shop.sslctl("add", NAME, app=app).exit_code == 3
    assert shop.installed(NAME) == fingerprint(theirs)


@pytest.mark.parametrize("preconditions", [True, False])
def test_consent_does_not_cover_another_text_certificate_that_was_installed_before_the_409(
    shop: Cdn, text: Bundle, theirs: Bundle, *, preconditions: bool
) -> None:
    shop.c4.features.preconditions = preconditions
    app = app_with(shop, before_upload=lambda number: install(shop, theirs) if number == 1 else None)
    result = shop.sslctl("add", NAME, app=app)
    assert shop.installed(NAME) == fingerprint(theirs) != fingerprint(text)
    assert (result.exit_code, view(shop)["reason"]["code"]) == (3, "FOREIGN_TEXT")
    assert removals(shop) == []


def test_upload_does_not_replace_our_former_text_certificate_that_was_installed_after_the_look(
    shop: Cdn,
) -> None:
    former = shop.text_pair(NAME, days=365)
    shop.sslctl("add", NAME, *shop.paste(former))
    shop.sslctl("add", NAME)
    shop.c4.features.preconditions = False
    before = removals(shop)
    app = app_with(shop, before_upload=lambda number: install(shop, former) if number == 1 else None)
    result = shop.sslctl("recheck", NAME, "--force-renew", app=app)
    assert shop.installed(NAME) == fingerprint(former)
    assert (result.exit_code, removals(shop)) == (3, before)
    assert "C4_CHANGED" in result.stdout


@pytest.mark.usefixtures("text")
def test_removal_spares_a_text_certificate_that_was_installed_right_before_it(
    shop: Cdn, theirs: Bundle
) -> None:
    app = app_with(shop, before_remove=lambda _number: install(shop, theirs))
    result = shop.sslctl("add", NAME, app=app)
    assert shop.installed(NAME) == fingerprint(theirs)
    assert (result.exit_code, view(shop)["reason"]["code"]) == (3, "FOREIGN_TEXT")
    assert removals(shop) == [412]


@pytest.mark.usefixtures("text")
@pytest.mark.parametrize("preconditions", [True, False])
def test_upload_after_the_removal_spares_a_text_certificate_that_was_installed_in_between(
    shop: Cdn, theirs: Bundle, *, preconditions: bool
) -> None:
    shop.c4.features.preconditions = preconditions
    app = app_with(shop, after_remove=lambda: install(shop, theirs))
    result = shop.sslctl("add", NAME, app=app)
    assert shop.installed(NAME) == fingerprint(theirs)
    assert (result.exit_code, view(shop)["reason"]["code"]) == (3, "FOREIGN_TEXT")
    assert removals(shop) == [204]


@pytest.mark.usefixtures("text")
def test_database_that_is_locked_after_the_removal_does_not_delay_the_upload(shop: Cdn) -> None:
    path = shop.folder / "state" / "sslctl.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:

        def unlock(number: int) -> None:
            # The first PUT meets the text certificate, the second follows its removal.
            if number == 2:
                installed.append(shop.installed(NAME))
                other.execute("ROLLBACK")

        installed: list[str | None] = []
        app = app_with(
            shop, before_upload=unlock, after_remove=lambda: other.execute("BEGIN EXCLUSIVE").close()
        )
        assert shop.sslctl("add", NAME, app=app).exit_code == 0
    assert installed == [None]
    assert (view(shop)["status"], view(shop)["serving"]["source"]) == ("Success", "c4")


@pytest.mark.usefixtures("text")
@pytest.mark.parametrize("lock", [READ, WRITE, EXCLUSIVE], ids=["a reader", "a writer", "a commit"])
def test_upload_follows_the_removal_although_the_database_stays_locked_for_longer_than_the_wait(
    shop: Cdn, lock: str
) -> None:
    holders: list[LockHolder] = []
    app = App(shop.config_path, shop.clock, waiting=Waiting(write_seconds=0.3, read_seconds=0.3))
    app.issuer = shop.issuer
    path = shop.folder / "state" / "sslctl.db"
    app.control_plane = C4WithHooks(
        app.control_plane, after_remove=lambda: holders.append(LockHolder(path, lock))
    )
    try:
        result = shop.sslctl("add", NAME, app=app)
    finally:
        [holder] = holders
        holder.release()
    assert (result.exit_code, removals(shop)) == (Exit.TRY_LATER, [204])
    assert f"the results of 1 domain were not recorded: {NAME}" in result.stderr
    [issued] = shop.issuer.issued.values()
    assert shop.installed(NAME) == read_leaf(issued.certificate).fingerprint
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert view(shop)["serving"]["fingerprint_sha256"] == shop.installed(NAME)
    assert len(shop.issuer.orders) == 1


@pytest.mark.usefixtures("text")
def test_full_disk_after_the_removal_does_not_prevent_the_upload(shop: Cdn) -> None:
    app = app_with(shop)

    def fill() -> None:
        # As on a full disk: every write of this process fails, after the removal.
        store: Any = app.store
        store._database._connection.execute("PRAGMA query_only = ON")

    app.control_plane = C4WithHooks(app.control_plane, after_remove=fill)
    shop.sslctl("add", NAME, app=app)
    assert shop.installed(NAME) is not None
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert (view(shop)["status"], view(shop)["serving"]["source"]) == ("Success", "c4")
    assert len(shop.issuer.orders) == 1


@pytest.mark.usefixtures("text")
def test_upload_after_the_removal_is_repeated_when_c4_fails_for_a_moment(shop: Cdn) -> None:
    shop.c4.set_faults(
        Fault(kind=Operation.UPLOAD, status=409, times=1), Fault(kind=Operation.UPLOAD, status=503, times=7)
    )
    assert shop.sslctl("add", NAME).exit_code == 0
    assert view(shop)["serving"]["fingerprint_sha256"] == shop.installed(NAME)


@pytest.mark.usefixtures("text")
def test_add_reports_that_nothing_is_served_and_the_next_tick_uploads_at_once(shop: Cdn) -> None:
    shop.c4.set_faults(
        Fault(kind=Operation.UPLOAD, status=409, times=1),
        Fault(kind=Operation.UPLOAD, status=503, retry_after=60),
    )
    result = shop.sslctl("add", NAME)
    assert result.exit_code == 7
    assert "Emergency NOTHING_INSTALLED: The edge serves nothing" in result.stdout
    found = view(shop)
    assert (found["status"], found["serving"], shop.installed(NAME)) == ("Emergency", None, None)
    assert [event["kind"] for event in found["events"]].count("nothing installed") == 1
    shop.c4.heal()
    shop.clock.move(minutes=1)
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert view(shop)["serving"]["fingerprint_sha256"] == shop.installed(NAME)
    assert len(shop.issuer.orders) == 1


@pytest.mark.usefixtures("text")
def test_upload_follows_a_removal_whose_outcome_is_unknown(shop: Cdn) -> None:
    def lose_responses(_number: int) -> None:
        shop.c4.set_faults(
            Fault(kind=Operation.REMOVE, drop=Drop.AFTER, times=3),
            Fault(kind=Operation.LOOKUP, status=500, times=1),
        )

    app = app_with(shop, before_remove=lose_responses)
    assert shop.sslctl("add", NAME, app=app).exit_code == 0
    assert view(shop)["serving"]["source"] == "c4"


@pytest.mark.usefixtures("text")
def test_tick_uploads_at_once_after_a_kill_between_removal_and_upload(shop: Cdn) -> None:
    shop.point(NAME, "elsewhere.example.org")
    assert shop.sslctl("add", NAME).exit_code == 4

    def die(number: int) -> None:
        if number == 2:
            raise Killed

    shop.point(NAME, f"{NAME}.cdn.test")
    shop.clear_dns(NAME)
    shop.point(NAME, f"{NAME}.cdn.test")
    with pytest.raises(Killed):
        shop.sslctl("add", NAME, app=app_with(shop, before_upload=die))
    assert shop.installed(NAME) is None
    assert [event["kind"] for event in view(shop)["events"]].count("replacing") == 1
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert view(shop)["serving"]["fingerprint_sha256"] == shop.installed(NAME)
    assert len(shop.issuer.orders) == 1
