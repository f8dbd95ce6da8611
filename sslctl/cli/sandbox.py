"""`sslctl sandbox`."""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sslctl.cli import render
from sslctl.cli.app import utc_now
from sslctl.errors import ConfigError, Exit

if TYPE_CHECKING:
    from sslctl.sandbox.world import World

_NINETY_DAYS = 90 * 86_400
_SEED = ("shop.example.test", "www.example.test", "api.example.test")
_SEED_ELSEWHERE = "blog.example.test"


@click.group("sandbox")
def command() -> None:
    """Run a whole CDN on this machine: Pebble as the CA, its DNS, and a C4 with its edge.

    Needs the extra `sandbox` and Debian's package pebble. Everything listens on loopback and ends with the command.
    """


@command.command("up")
@click.option(
    "--certificate-seconds",
    type=click.IntRange(min=10),
    default=_NINETY_DAYS,
    show_default=True,
    metavar="N",
    help="How long certificates live.",
)
@click.option(
    "--activation-seconds", type=click.FloatRange(min=0), default=0.5, show_default=True, metavar="N",
    help="How long C4 takes to activate an upload.",
)  # fmt: skip
@click.option(
    "--mode",
    type=click.Choice(["webroot", "standalone"]),
    default="webroot",
    show_default=True,
    help="How certbot answers challenges.",
)
def up(*, certificate_seconds: int, activation_seconds: float, mode: str) -> None:
    """Start it, print the line that makes sslctl use it, and stop it on Ctrl-C."""
    with (
        _folder() as folder,
        _world(
            folder, certificate_seconds=certificate_seconds, activation_seconds=activation_seconds, mode=mode
        ) as world,
    ):
        for name in _SEED:
            world.add_domain(name)
        world.add_domain(_SEED_ELSEWHERE, points_at="parking.elsewhere.test")
        render.line(f"export SSLCTL_CONFIG={shlex.quote(str(world.config_path))}")
        click.echo(
            f"\nC4 knows {', '.join(_SEED)}, and {_SEED_ELSEWHERE}, whose CNAME is elsewhere.\n"
            f"Paste the line above into another terminal, then: sslctl add {_SEED[0]}\n"
            f"The edge serves https on port {world.edge.https_port}. Ctrl-C stops everything.",
            err=True,
        )
        sys.stdout.flush()
        _await_interrupt()
    click.echo("Stopped.", err=True)


@command.command("demo")
def demo() -> int:
    """Play the whole story: add, list, view, download, renew, a failing C4, text into C4, delete."""
    from sslctl.sandbox.demo import CERTIFICATE_SECONDS, Demo  # noqa: PLC0415 - needs the extra

    with (
        _folder() as folder,
        _world(folder, certificate_seconds=CERTIFICATE_SECONDS, activation_seconds=0.5) as world,
    ):
        story = Demo(world, render.line)
        story.play()
    if story.failures:
        render.line(f"\nThe demo failed: {len(story.failures)} things were not so.")
        return Exit.BUG
    render.line("\nThe demo is done; everything was as it should be, and nothing is left running.")
    return Exit.OK


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="sslctl-sandbox-")


def _world(
    folder: str, *, certificate_seconds: int, activation_seconds: float, mode: str = "webroot"
) -> World:
    try:
        from sslctl.sandbox.world import World  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        raise ConfigError(
            f"the sandbox needs the package {error.name}", hint="pip install 'sslctl[sandbox]'"
        ) from error
    return World(
        Path(folder),
        clock=utc_now,
        certificate_seconds=certificate_seconds,
        activation_seconds=activation_seconds,
        mode=mode,
    )


def _await_interrupt() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stopped.set())
    stopped.wait()
