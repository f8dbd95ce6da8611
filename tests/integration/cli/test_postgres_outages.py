"""The connections to PostgreSQL break in the middle of a command, at each kind of its statements."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from sslctl.errors import Exit
from sslctl.rules.model import Source
from tests.support.archive_cases import RENEWALS, lines, write_years
from tests.support.cdn import Cdn
from tests.support.command_line import command, environment
from tests.support.fakes import START, Clock
from tests.support.moving_cases import make_state
from tests.support.postgres import Cluster
from tests.support.postgres_proxy import PostgresProxy
from tests.support.store_cases import PATIENCE, open_store

pytestmark = pytest.mark.postgres

# More than a list reads at once.
DOMAINS = 1100
SERVED = "served.example.net"
# The documented ends of a command without its database.
RIGHT_ENDS = (Exit.UNUSABLE, Exit.TRY_LATER)


@dataclass
class World:
    """A CDN, and a server of its own behind a proxy; `full` is a database with rows in every table."""

    cdn: Cdn
    server: Cluster
    proxy: PostgresProxy
    full: str
    copies: list[str] = field(default_factory=list)

    def renew(self) -> None:
        """Let commands use another copy of the full database."""
        for each in self.copies:
            self.server.drop(each)
        self.copies = [self.server.new_database(self.full)]
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()

    @property
    def out(self) -> Path:
        """The folder for the files of commands; `OUT` in their words."""
        return self.cdn.folder / "out"

    def files(self) -> list[str]:
        """Return the names of the files in the folder for them."""
        return sorted(path.name for path in self.out.rglob("*") if path.is_file())

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run sslctl as a process."""
        return subprocess.run(
            command(*(word.replace("OUT", str(self.out)) for word in words)),
            env=environment(self.cdn, SSLCTL_STATE_URL=self.proxy.url(self.copies[0])),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def restart(self, signal: str) -> None:
        """Stop the server by a signal, and start it again."""
        self.server.stop(signal)
        self.server.start()

    def run_cut(
        self, at: int, cut: Callable[[], object], *words: str
    ) -> tuple[subprocess.CompletedProcess[str], bool]:
        """Run sslctl, and `cut` before the statement `at`; return the process, and whether it came so far."""
        begun, done = Event(), Event()

        def when(number: int) -> None:
            if number == at:
                begun.set()
                cut()
                done.set()

        self.proxy.restart(when)
        ended = self.run(*words)
        # sslctl may end before the server is up again.
        assert not begun.is_set() or done.wait(PATIENCE)
        self.proxy.restart(lambda _number: None)
        return ended, begun.is_set()


@contextmanager
def made(folder: Path, fill: Callable[[Path], object], served: Sequence[str] = ()) -> Iterator[World]:
    """Yield a world whose full database is a copy of the SQLite state that `fill` makes in a folder, with the domains `served`."""
    fill(folder / "state")
    with (
        closing(Cluster()) as server,
        PostgresProxy(server) as proxy,
        Cdn(folder, Clock(), has_state=False) as cdn,
    ):
        for name in served:
            cdn.add_domain(name)
            assert cdn.sslctl("add", name).exit_code == Exit.OK
        full = server.new_database("template0")
        moved = cdn.sslctl("state", "migrate", "--to", server.url(full))
        assert moved.exit_code == Exit.OK, moved
        yield World(cdn, server, proxy, full)


def fill_tables(folder: Path) -> None:
    make_state(folder, 12)
    with closing(open_store(folder, Clock(START))) as store, store.transaction():
        for number in range(DOMAINS):
            store.add_domain(f"{number:04}.example.net", (), Source.C4)


def fill_years(folder: Path) -> None:
    clock = Clock(START - timedelta(days=60 * RENEWALS + 200))
    with closing(open_store(folder, clock)) as store:
        write_years(store, clock)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made(tmp_path_factory.mktemp("world"), fill_tables) as running:
        yield running


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made(tmp_path_factory.mktemp("years"), fill_years, [SERVED]) as running:
        yield running


def require_honest(ended: subprocess.CompletedProcess[str], *, as_json: bool) -> None:
    """Check the end of a command that lost its database. One that only read when the server was up again has lost nothing."""
    if ended.returncode == Exit.OK:
        assert ended.stderr == ""
        return
    assert ended.returncode in RIGHT_ENDS, ended
    assert "Traceback" not in ended.stderr
    said = [line for line in ended.stderr.splitlines() if line.startswith(("sslctl: error", "sslctl: hint"))]
    assert [line.split(":")[1] for line in said] == [" error", " hint"], ended.stderr
    assert "PostgreSQL database state_" in said[0], said
    assert "the command again" in said[1] or "the server" in said[1], said
    if as_json:
        # A part is no JSON; a whole object is the error.
        with suppress(json.JSONDecodeError):
            assert json.loads(ended.stdout)["error"] == "STATE"


COMMANDS = {
    "list as JSON": ("list", "--json"),
    "list as CSV": ("list", "--csv"),
    "list as a table": ("list",),
    "export of the history": ("export", "history"),
    "export of the inventory": ("export", "inventory"),
    "audit list": ("audit", "list", "--json"),
    "audit verify": ("audit", "verify", "--json"),
    "metrics": ("metrics",),
    "report": ("report", "OUT/report.html"),
    "todo": ("todo", "--json"),
    "forecast": ("forecast", "--json"),
    "download": ("download", SERVED, "-o", "OUT"),
    "move": ("state", "migrate", "--to", "OUT/moved"),
}
# What they print is the same each time.
STEADY = ("list as JSON", "list as CSV", "list as a table", "export of the inventory", "audit verify")


@pytest.mark.parametrize("what", COMMANDS)
def test_command_during_a_restart_fails_with_the_next_step_and_the_next_run_is_whole(
    world: World, years: World, what: str
) -> None:
    if what == "download":
        world = years
    words = COMMANDS[what]
    world.renew()
    world.proxy.restart(lambda _number: None)
    whole = world.run(*words)
    assert whole.returncode == Exit.OK, whole
    number, files = world.proxy.statements, world.files()
    for signal, at in {"QUIT": number // 2, "INT": number - 2}.items():
        world.renew()
        ended, is_cut = world.run_cut(at, partial(world.restart, signal), *words)
        assert is_cut
        require_honest(ended, as_json="--json" in words)
        assert ended.returncode != Exit.OK or what not in STEADY or ended.stdout == whole.stdout
        # A move goes on with its copy.
        assert world.files() in ([], ["sslctl.db.moving"] if what == "move" else files), signal
        again = world.run(*words)
        assert (again.returncode, world.files()) == (Exit.OK, files), again
        assert what not in STEADY or again.stdout == whole.stdout


def archived(world: World) -> tuple[list[str], list[str]]:
    """Return what is in the archives that the history has, and their names; both verified.

    Beside them may be a whole one of the run that broke off: whether its seal was recorded was not known then.
    """
    listed = json.loads(world.run("history", "list", "--json").stdout)["archives"]
    names = [each["file"] for each in listed]
    assert set(names) <= set(world.files())
    assert len(world.files()) <= len(names) + 1
    verified = world.run("audit", "verify", *(f"--archive=OUT/{name}" for name in names))
    assert verified.returncode == Exit.OK, verified
    rows = [
        json.dumps(row) for name in names for row in lines(world.out / name) if "kind" in row or "id" in row
    ]
    return sorted(rows), names


PRUNE = ("history", "prune", "--keep-days", "180", "--to", "OUT", "--yes", "--json")


@pytest.mark.parametrize("signal", ["QUIT", "INT"])
def test_pruning_during_a_restart_loses_and_doubles_nothing(years: World, signal: str) -> None:
    years.renew()
    years.proxy.restart(lambda _number: None)
    assert years.run(*PRUNE).returncode == Exit.OK
    number, (whole, names) = years.proxy.statements, archived(years)
    assert (len(names), len(whole) > 50) == (1, True)
    for at in range(8, number - 2, number // 4):
        years.renew()
        ended, is_cut = years.run_cut(at, partial(years.restart, signal), *PRUNE)
        assert is_cut
        require_honest(ended, as_json=True)
        again = years.run(*PRUNE)
        assert again.returncode == Exit.OK, again
        assert archived(years)[0] == whole, at


@pytest.mark.parametrize("what", ["list as JSON", "audit verify"])
def test_command_that_reads_goes_on_when_its_connection_was_reset(world: World, what: str) -> None:
    world.renew()
    world.proxy.restart(lambda _number: None)
    whole = world.run(*COMMANDS[what])
    for at in range(4, world.proxy.statements, 3):
        ended, is_cut = world.run_cut(at, world.proxy.reset, *COMMANDS[what])
        assert is_cut
        assert (ended.returncode, ended.stdout, ended.stderr) == (Exit.OK, whole.stdout, ""), at


def test_change_whose_connection_is_reset_is_made_whole_or_not_at_all(years: World) -> None:
    change, history = ("note", SERVED, "moves in May"), ("audit", "list", "--domain", SERVED, "--json")

    def changes() -> list[str]:
        events = json.loads(years.run(*history).stdout)["events"]
        return [event["detail"] for event in events if event["kind"] == "note"]

    years.renew()
    years.proxy.restart(lambda _number: None)
    assert years.run(*change).returncode == Exit.OK
    number, made = years.proxy.statements, changes()
    assert len(made) == 1
    ends = list[int]()
    for at in range(1, number + 1):
        years.renew()
        ended, is_cut = years.run_cut(at, years.proxy.reset, *change)
        assert is_cut
        require_honest(ended, as_json=False)
        # The server may have got the commit, and its answer was lost.
        assert changes() == made or (ended.returncode != Exit.OK and changes() == [])
        assert years.run(*change).returncode == Exit.OK
        assert changes() == made, at
        ends.append(ended.returncode)
    assert {Exit.OK, Exit.UNUSABLE} == set(ends)
