"""`sslctl sandbox`."""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sslctl.app import App, utc_now
from sslctl.cli.output.state import print_created
from sslctl.cli.output.stdout import write_line
from sslctl.cli.output.table import table
from sslctl.config.settings import load
from sslctl.errors import ConfigError, Exit
from sslctl.rules import names

if TYPE_CHECKING:
    from sslctl.sandbox.cdn import SandboxCdn
    from sslctl.sandbox.remote_control import RemoteControl

_NINETY_DAYS = 90 * 86_400
_SEED = ("shop.example.test", "www.example.test", "api.example.test")
_SEED_ELSEWHERE = "blog.example.test"


@click.group("sandbox")
def command() -> None:
    """Run a whole CDN on this machine: Pebble as the CA, its DNS, and a C4 with its edge.

    Needs the extra `sandbox` and Debian's package pebble, 2.4 or later. Everything listens on loopback and ends with the command.
    """


@command.command("up", short_help="Start a sandbox and print how to use it.")
@click.option(
    "--certificate-seconds",
    type=click.IntRange(min=10),
    default=_NINETY_DAYS,
    show_default=True,
    metavar="N",
    help="The lifetime of certificates.",
)
@click.option(
    "--activation-seconds", type=click.FloatRange(min=0), default=0.5, show_default=True, metavar="N",
    help="The time that C4 takes to activate an upload.",
)  # fmt: skip
@click.option(
    "--mode",
    type=click.Choice(["webroot", "standalone"]),
    default="webroot",
    show_default=True,
    help="The way in which certbot answers challenges.",
)
@click.option(
    "--ca-limits",
    is_flag=True,
    help="Let the CA refuse more requests a second than Let's Encrypt accepts from one IP address.",
)
def up(*, certificate_seconds: int, activation_seconds: float, mode: str, ca_limits: bool) -> None:
    """Start a sandbox, print the line that makes sslctl use it, and stop it on Ctrl-C."""
    with _extra():
        from sslctl.sandbox.cdn import ELSEWHERE  # noqa: PLC0415 - needs the extra

    with (
        _folder() as folder,
        _sandbox_cdn(
            folder,
            certificate_seconds=certificate_seconds,
            activation_seconds=activation_seconds,
            mode=mode,
            ca_limits=ca_limits,
        ) as cdn,
    ):
        for name in _SEED:
            cdn.add_domain(name)
        cdn.add_domain(_SEED_ELSEWHERE, points_at=ELSEWHERE)
        _make_state(cdn)
        write_line(f"export SSLCTL_CONFIG={shlex.quote(str(cdn.config_path))}")
        click.echo(
            f"\nThe sandbox is running. C4 knows these domains:\n{_domains()}\n\n"
            f"Paste the line above into another terminal, then try:\n{_examples()}\n\n"
            f"The edge serves HTTPS on port {cdn.edge.https_port}. Ctrl-C stops the sandbox.",
            err=True,
        )
        sys.stdout.flush()
        _await_interrupt()
    click.echo("Stopped.", err=True)


def _domains() -> str:
    rows = [*((name, "the CDN") for name in _SEED), (_SEED_ELSEWHERE, "elsewhere")]
    return table(rows, ("DOMAIN", "CNAME POINTS AT"), indent="  ")


def _examples() -> str:
    rows = [
        (f"sslctl add {_SEED[0]} {_SEED_ELSEWHERE}", "one Success and one Failure"),
        (f"sslctl sandbox domain {_SEED_ELSEWHERE}", "correct the CNAME"),
        ("sslctl sandbox break upload", "make uploads fail"),
    ]
    return table(rows, indent="  ")


@command.command("domain", short_help="Create a domain, or change its CNAME.")
@click.argument("name")
@click.option("--points-at", metavar="TARGET", help="The target of its CNAME; default: the CDN.")
@click.pass_obj
def domain(app: App, *, name: str, points_at: str | None) -> None:
    """Create a customer's domain in C4 of the running sandbox, and set its CNAME."""
    with _extra():
        from sslctl.sandbox.cdn import cname_target  # noqa: PLC0415 - needs the extra

    name = names.normalise(name)
    target = cname_target(name)
    _remote_control(app).set_domain(name, target, names.normalise(points_at) if points_at else target)


@command.command("break", short_help="Inject a fault into C4.")
@click.argument("call", type=click.Choice(["lookup", "upload", "readback", "remove"]))
@click.option(
    "--status",
    type=click.IntRange(400, 599),
    default=503,
    show_default=True,
    help="The HTTP status that C4 answers with.",
)
@click.pass_obj
def break_c4(app: App, *, call: str, status: int) -> None:
    """Make C4 of the running sandbox answer every request of one kind with an error, until `sslctl sandbox heal`."""
    with _extra():
        from sslctl.sandbox.c4.faults import Operation  # noqa: PLC0415 - needs the extra

    _remote_control(app).inject_fault(Operation(call), status)


@command.command("heal", short_help="Clear the faults of C4.")
@click.pass_obj
def heal(app: App) -> None:
    """Clear all faults of C4 of the running sandbox."""
    _remote_control(app).clear_faults()


def _remote_control(app: App) -> RemoteControl:
    with _extra():
        from sslctl.sandbox.remote_control import RemoteControl  # noqa: PLC0415 - needs the extra

    return RemoteControl(app.config.path)


@command.command("demo", short_help="Run a demonstration in a sandbox.")
def demo() -> int:
    """Run a demonstration: add, list, view, download, renew, a failing C4, a certificate by text, delete."""
    with _extra():
        from sslctl.sandbox.demo import CERTIFICATE_SECONDS, Demo  # noqa: PLC0415 - needs the extra

    with (
        _folder() as folder,
        _sandbox_cdn(
            folder, certificate_seconds=CERTIFICATE_SECONDS, activation_seconds=0.5, ca_limits=True
        ) as cdn,
    ):
        _make_state(cdn)
        story = Demo(cdn, write_line)
        story.run()
    if story.failures:
        write_line(f"\nThe demo failed: {len(story.failures)} checks failed.")
        return Exit.BUG
    write_line("\nThe demo is done: all checks passed, and nothing is left running.")
    return Exit.OK


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="sslctl-sandbox-")


def _sandbox_cdn(
    folder: str,
    *,
    certificate_seconds: int,
    activation_seconds: float,
    mode: str = "webroot",
    ca_limits: bool = False,
) -> SandboxCdn:
    with _extra():
        from sslctl.sandbox.cdn import SandboxCdn  # noqa: PLC0415 - needs the extra
        from sslctl.sandbox.limited_ca import LETS_ENCRYPTS  # noqa: PLC0415 - needs the extra

    return SandboxCdn(
        Path(folder),
        clock=utc_now,
        certificate_seconds=certificate_seconds,
        activation_seconds=activation_seconds,
        mode=mode,
        ca_limits=LETS_ENCRYPTS if ca_limits else None,
    )


def _make_state(cdn: SandboxCdn) -> None:
    with closing(App(cdn.config_path)) as app:
        # SSLCTL_STATE_DIR may name the state of another installation.
        app.config = load(cdn.config_path, {})
        if app.make_state():
            print_created(app)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"the sandbox needs the package {error.name}, which is not installed",
            hint="run pip install '.[sandbox]' in sslctl's source folder",
        ) from error


def _await_interrupt() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stopped.set())
    stopped.wait()
