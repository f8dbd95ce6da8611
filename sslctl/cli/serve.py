"""`sslctl serve`."""

from __future__ import annotations

import ipaddress
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from sslctl.app import App
from sslctl.cli.extras import needing
from sslctl.cli.output.stdout import write_line
from sslctl.cli.signals import handling
from sslctl.store.sqlite.waiting import Waiting
from sslctl.system.actor import find_user
from sslctl.system.readiness import notify_ready
from sslctl.text import clean

if TYPE_CHECKING:
    from sslctl.web.jobs import Jobs

# A person looks at the page, and a request holds one of few threads while it waits.
_WAITING = Waiting(write_seconds=5, read_seconds=5)
_DEFAULT_PORT = 8470


def _parse_host(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the loopback address `value`, without brackets. Raise `click.BadParameter` for any other."""
    host = "127.0.0.1" if value == "localhost" else value.strip("[]")
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise click.BadParameter(
            "is not a loopback address; others reach the page through --socket and a reverse proxy with a login"
        )
    return host


@click.command("serve")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    callback=_parse_host,
    help="The loopback address to listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=_DEFAULT_PORT,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Listen on this Unix socket instead, behind a reverse proxy with a login ([web] in the configuration, docs/page-access.md).",
)
@click.pass_context
def command(context: click.Context, *, host: str, port: int, socket_path: Path | None) -> None:
    """Show the SSL Management page in a browser, until Ctrl-C.

    It listens on a loopback address only, and prints a link with which one browser can enter, once and within 10 minutes. Press
    Enter for a new one. That session may do everything. Each request is printed on standard error.

    With --socket a reverse proxy names the person of each request, and [web] says what that person may do.
    """
    if socket_path is None:
        _serve_locally(context.obj, host, port)
        return
    if any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("host", "port")):
        raise click.UsageError("--socket goes without --host and --port")
    _serve_proxy(context.obj, socket_path.absolute())


def _serve_proxy(app: App, path: Path) -> None:
    with needing("web", "the page"):
        from sslctl.web.access.proxy_gate import ProxyGate  # noqa: PLC0415 - needs the extra
        from sslctl.web.jobs import Jobs  # noqa: PLC0415 - needs the extra
        from sslctl.web.listeners import UnixListener  # noqa: PLC0415 - needs the extra
        from sslctl.web.server import serve  # noqa: PLC0415 - needs the extra
        from sslctl.web.site import make_site  # noqa: PLC0415 - needs the extra
    section = app.config.web
    gate = ProxyGate(section, time.monotonic)
    with (
        closing(UnixListener(path, section.socket_group)) as listener,
        _ending(Jobs(app.config_path, app.clock)) as jobs,
    ):
        site = make_site(partial(app.again, _WAITING), gate, jobs)
        write_line(f"The page {section.public_url} listens on {clean(path)}")
        sys.stdout.flush()
        _log_requests()
        with handling(_end):
            notify_ready()
            serve(site, listener.socket, scheme=gate.scheme, trusted_headers=gate.trusted_headers)


def _serve_locally(app: App, host: str, port: int) -> None:
    with needing("web", "the page"):
        from sslctl.web.access import Person, Role  # noqa: PLC0415 - needs the extra
        from sslctl.web.access.local_gate import LocalGate  # noqa: PLC0415 - needs the extra
        from sslctl.web.jobs import Jobs  # noqa: PLC0415 - needs the extra
        from sslctl.web.listeners import TcpListener  # noqa: PLC0415 - needs the extra
        from sslctl.web.server import serve  # noqa: PLC0415 - needs the extra
        from sslctl.web.site import make_site  # noqa: PLC0415 - needs the extra
    with closing(TcpListener(host, port)) as listener, _ending(Jobs(app.config_path, app.clock)) as jobs:
        gate = LocalGate(host, listener.port, Person(find_user(), frozenset(Role)), time.monotonic)
        site = make_site(partial(app.again, _WAITING), gate, jobs)

        def print_url() -> None:
            write_line(f"Open {gate.make_url()}")

        print_url()
        if sys.stdin.isatty():
            write_line("Press Enter for a new link, Ctrl-C to end.")
            threading.Thread(target=_print_on_enter, args=(print_url,), daemon=True).start()
        sys.stdout.flush()
        _log_requests()
        with handling(_end):
            serve(site, listener.socket)


@contextmanager
def _ending(jobs: Jobs) -> Iterator[Jobs]:
    """Yield `jobs`, and at the end print those that go on without the server."""
    with closing(jobs):
        try:
            yield jobs
        finally:
            running = [clean(f"{job.action} {_short(job.domains)}", 200) for job in jobs.running()]
            if running:
                click.echo(
                    f"These jobs go on, and `sslctl view NAME` shows how they end: {'; '.join(running)}",
                    err=True,
                )


def _short(domains: Sequence[str]) -> str:
    return domains[0] if len(domains) == 1 else f"{len(domains):,} domains"


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _print_on_enter(print_url: Callable[[], None]) -> None:
    for _ in sys.stdin:
        print_url()


def _log_requests() -> None:
    """Print what the page logs on standard error: one line for each request."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log = logging.getLogger("sslctl.web")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
