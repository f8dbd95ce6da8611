"""What `daemon-tick -q` has printed: in a file of this machine, and where several hosts use the state, in it."""

from __future__ import annotations

from collections.abc import Mapping

from sslctl.app import App
from sslctl.cli.output.reported_file import read_printed, write_printed
from sslctl.cli.output.tick_report import CLOCK
from sslctl.rules.reported import Printed


def read_all(app: App) -> dict[str, Printed]:
    """Return what was printed on this machine, and what a leading tick printed on any host."""
    printed = read_printed(app.config.state.dir)
    return {**app.store.printed(), **printed} if app.config.state.is_on_server else printed


def write_all(app: App, printed: Mapping[str, Printed]) -> None:
    """Write what was printed. Where it is shared, the file keeps what is of this machine, and what it has: such as a failed tick."""
    folder = app.config.state.dir
    if not app.config.state.is_on_server:
        write_printed(folder, printed)
        return
    before = read_printed(folder)
    own = printed.keys() & {*before, CLOCK}
    app.store.record_printed({subject: one for subject, one in printed.items() if subject not in own})
    after = {subject: printed[subject] for subject in own}
    if after != before:
        write_printed(folder, after)
