"""The page over a large fleet: the time of each page, the memory of its process, and both beside a tick that renews."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench import beside_tick, meter
from tests.bench.meter import Failed, Job
from tests.bench.mixed_fleet import fill_mixed, list_addresses, shuffled_names
from tests.bench.page_server import Answer, Client, PageServer
from tests.bench.program import unserved
from tests.bench.report import MIB, Part, Row, Table, number, under
from tests.support.suite import Progress

_PREFIX = "page"
# 0.3 s on a quiet machine, where bare Python starts in 22 ms. Machines differ, and so does one from hour to hour.
_WANTED_TIMES = 13.6
_OK, _SEE_OTHER = (200,), (303,)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. `repetitions` are those of each page, `versions` those of the domain with much history."""

    repetitions: int = 7
    domains: int = 100_000
    versions: int = 200
    beside: beside_tick.Sizes = field(default_factory=beside_tick.Sizes)


@dataclass(slots=True)
class _Timed:
    """The seconds of each page by its description, and those of bare Python's start in the same run."""

    pages: dict[str, list[float]] = field(default_factory=dict)
    bare: list[float] = field(default_factory=list)

    def slowest(self, whats: Iterable[str]) -> list[float]:
        """Return the seconds of the slowest of the pages `whats` in each repetition."""
        return [max(turn) for turn in zip(*(self.pages[what] for what in whats), strict=False)]

    def add(self, what: str, answer: Answer, accept: tuple[int, ...]) -> Answer:
        if answer.status not in accept:
            raise Failed(f"{what}: {answer.status}\n{answer.text}")
        self.pages.setdefault(what, []).append(answer.seconds)
        return answer


def measure(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    """Measure the pages alone, and then beside ticks."""
    part = _measure_pages(folder, sizes, progress)
    beside = beside_tick.measure(folder, sizes.beside, progress)
    part.rows += beside.rows
    part.tables += beside.tables
    part.facts |= beside.facts
    return part


def _measure_pages(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    timed = _Timed()
    with TemporaryDirectory(dir=folder) as own:
        progress(f"making a store of {sizes.domains:,} domains")
        sslctl = unserved(Path(own))
        many = shuffled_names(sizes.domains, _PREFIX)
        fill_mixed(sslctl, many, versions=sizes.versions)
        with PageServer(sslctl) as server, closing(server.enter(1)[0]) as client:
            # The store was filled without its audit chain. The first process that opens it begins the chain, which takes seconds.
            client.get("/")
            for repetition in range(sizes.repetitions):
                progress(f"{repetition + 1} of {sizes.repetitions}: each page")
                _read_each(client, many, timed)
                _change(client, many, repetition, timed)
                bare = Job([[sys.executable, "-c", "pass"]] * 3, own, sslctl.environment())
                timed.bare += meter.run(bare).walls
            memory = server.largest_rss() / MIB
    lists = list_addresses(many)
    others = timed.pages.keys() - lists.keys()
    return Part(
        [
            _row("The list, first page", ["the list, first page"], timed),
            _row(f"The slowest of {len(lists)} lists: searches, filters, orders, last page", lists, timed),
            _row(f"The slowest of {len(others)} other pages, forms and actions", others, timed),
            under("The page's process after all of these, memory", 150, "MiB", [memory]),
        ],
        [_table(sizes, timed)],
        {"page_seconds": {what: median(seconds) for what, seconds in timed.pages.items()}},
    )


def _read_each(client: Client, many: Sequence[str], timed: _Timed) -> None:
    for what, address in list_addresses(many).items():
        timed.add(what, client.get(address), _OK)
    old, plain = many[-1], many[len(many) // 2]
    for what, address in {
        "the charts": "/charts",
        "a domain": f"/domains/{plain}",
        "a domain with much history": f"/domains/{old}",
        "the form to add": "/add",
        "the form to delete": f"/domains/{plain}/delete",
        "the form to download": f"/domains/{plain}/download",
        "the form to download, much history": f"/domains/{old}/download",
        "the form to download many": "/download",
    }.items():
        timed.add(what, client.get(address), _OK)
    timed.add("a name that is not managed", client.get(f"/domains/{plain[1:]}"), (404,))


def _change(client: Client, many: Sequence[str], repetition: int, timed: _Timed) -> None:
    """Send each form. The jobs find no service, so they end soon."""
    plain = f"/domains/{many[repetition % len(many)]}"
    timed.add(
        "a note is sent", client.post(f"{plain}/note", value=f"note {repetition}", before=""), _SEE_OTHER
    )
    sent: dict[str, Callable[[], Answer]] = {
        "a domain is added": lambda: client.post("/add", domains=f"added{repetition}.example"),
        "a recheck is begun": lambda: client.post(f"{plain}/recheck"),
    }
    for what, send in sent.items():
        job = timed.add(what, send(), _SEE_OTHER).location
        timed.add("the steps of a job", client.get(job), _OK)


def _row(label: str, whats: Iterable[str], timed: _Timed) -> Row:
    seconds, bare = timed.slowest(whats), median(timed.bare)
    note = f"{number(median(seconds))} s; bare Python takes {number(bare)} s"
    return under(label, _WANTED_TIMES, "times bare Python's start", [each / bare for each in seconds], note)


def _table(sizes: Sizes, timed: _Timed) -> Table:
    bare = median(timed.bare)
    rows = [
        (what, number(median(seconds)), number(max(seconds)), number(median(seconds) / bare))
        for what, seconds in sorted(timed.pages.items(), key=lambda item: -median(item[1]))
    ]
    title = f"Pages over {sizes.domains:,} domains; bare Python takes {number(bare)} s"
    return Table(title, ("page", "median, s", "most, s", "times bare Python"), rows)
