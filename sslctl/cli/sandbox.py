"""`sslctl sandbox`."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from sslctl.app import App
from sslctl.cli.extras import needing
from sslctl.cli.output.state import print_created
from sslctl.cli.output.stdout import write_line
from sslctl.cli.output.table import table
from sslctl.cli.sandbox_options import program, read_caa, read_ipv6, read_url
from sslctl.cli.signals import INTERRUPTS, handling
from sslctl.config.settings import load
from sslctl.errors import Exit
from sslctl.rules import names
from sslctl.sandbox.folder import SandboxFolder, open_folder

if TYPE_CHECKING:
    from sslctl.sandbox.cdn import SandboxCdn
    from sslctl.sandbox.remote_control import RemoteControl

_NINETY_DAYS = 90 * 86_400
_SEED = ("shop.example.test", "www.example.test", "api.example.test")
_SEED_ELSEWHERE = "blog.example.test"
_C4_FAULTS = ("lookup", "upload", "readback", "remove")
_SLOW_DNS = "dns"
_DNS_FAULTS = ("dnssec", _SLOW_DNS)
_EDGE_FAULTS = ("edge-lag", "edge-lie")
_STATUS = 503
_SLOW_SECONDS = 30.0
_NEW_CA = (
    "The CA is a new one. The certificates of the earlier run stay installed, and the new CA renews them; "
    "it cannot revoke them."
)


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
    type=click.Choice(["webroot", "standalone", "stateless"]),
    default="webroot",
    show_default=True,
    help="The way in which certbot answers challenges.",
)
@click.option(
    "--ca-limits",
    is_flag=True,
    help="Let the CA refuse more requests a second than Let's Encrypt accepts from one IP address.",
)
@click.option(
    "--keep", type=click.Path(path_type=Path), metavar="DIR",
    help="Keep all files in DIR, a new or empty folder, or one kept before: then its domains exist again. The CA is always a new one.",
)  # fmt: skip
def up(
    *, certificate_seconds: int, activation_seconds: float, mode: str, ca_limits: bool, keep: Path | None
) -> None:
    """Start a sandbox, and print the line that makes sslctl use it. Ctrl-C stops it and deletes its state.

    With --keep the configuration, the state, the keys and the certificates stay in DIR.
    """
    with needing("sandbox", "the sandbox"):
        from sslctl.sandbox.cdn import ELSEWHERE  # noqa: PLC0415 - needs the extra

    with _interrupts() as interrupts:
        is_running = False
        try:
            with (
                open_folder(keep) as folder,
                _sandbox_cdn(
                    folder.path,
                    certificate_seconds=certificate_seconds,
                    activation_seconds=activation_seconds,
                    mode=mode,
                    ca_limits=ca_limits,
                    has_resolver=True,
                ) as cdn,
            ):
                if not cdn.names():
                    for name in _SEED:
                        cdn.add_domain(name)
                    cdn.add_domain(_SEED_ELSEWHERE, points_at=ELSEWHERE)
                _make_state(cdn)
                interrupts.message = _stopping(folder)
                is_running = folder.has_started = True
                write_line(f"export SSLCTL_CONFIG={shlex.quote(str(cdn.config_path))}")
                click.echo(_introduction(cdn, folder), err=True)
                sys.stdout.flush()
                threading.Event().wait()
        except KeyboardInterrupt:
            if not is_running:
                raise
    click.echo("Stopped.", err=True)


def _introduction(cdn: SandboxCdn, folder: SandboxFolder) -> str:
    end = f"keeps it in {folder.path}" if folder.is_kept else f"deletes its state in {folder.path}"
    again = "" if folder.is_new else f"\n\n{_NEW_CA}"
    return (
        f"\nThe sandbox is running. C4 knows these domains:\n{_domains(cdn)}{again}\n\n"
        f"Paste the line above into another terminal, then try:\n{_examples(cdn)}\n\n"
        f"The edge serves HTTPS on port {cdn.edge.https_port}. Ctrl-C stops the sandbox and {end}."
    )


def _stopping(folder: SandboxFolder) -> str:
    if not folder.is_kept:
        return f"Stopping the sandbox and deleting its state in {folder.path}."
    again = f"{program()} sandbox up --keep {shlex.quote(str(folder.path))}"
    return f"Stopping the sandbox. It is kept in {folder.path}; start it again with: {again}"


def _domains(cdn: SandboxCdn) -> str:
    rows = [(name, "the CDN" if target is None else target) for name, target in cdn.names().items()]
    return table(rows, ("DOMAIN", "CNAME POINTS AT"), indent="  ")


def _examples(cdn: SandboxCdn) -> str:
    sslctl = program()
    answer = f"{sslctl} acme thumbprint > {shlex.quote(str(cdn.thumbprint_path))}"
    rows = [
        *([(answer, "# let the edge answer challenges by itself")] if cdn.is_stateless else []),
        (f"{sslctl} add {_SEED[0]} {_SEED_ELSEWHERE}", "# one Success and one Failure"),
        (f"{sslctl} todo", "# what needs a person"),
        (f"{sslctl} message {_SEED_ELSEWHERE}", "# what to write to the customer"),
        (f"{sslctl} check {_SEED_ELSEWHERE}", "# what an order would meet now"),
        (f"{sslctl} serve", "# the page in a browser"),
        (f"{sslctl} sandbox domain {_SEED_ELSEWHERE}", "# correct the CNAME"),
        (f"{sslctl} sandbox break upload", "# make uploads fail"),
    ]
    return table(rows, indent="  ")


@command.command("domain", short_help="Create a domain, or change its DNS records.")
@click.argument("name")
@click.option("--points-at", metavar="TARGET", help="The target of its CNAME; default: the CDN.")
@click.option(
    "--caa",
    multiple=True,
    metavar="RECORD",
    help="A CAA record, such as '0 issue \"ca.example\"'; more than one is possible.",
)
@click.option("--aaaa", multiple=True, metavar="ADDRESS", help="An IPv6 address; more than one is possible.")
@click.option(
    "--redirect",
    metavar="URL",
    help="The URL to which port 80 of the edge redirects all requests for the domain.",
)
@click.pass_obj
def domain(
    app: App,
    *,
    name: str,
    points_at: str | None,
    caa: tuple[str, ...],
    aaaa: tuple[str, ...],
    redirect: str | None,
) -> None:
    """Create a customer's domain in C4 of the running sandbox, and set its DNS records.

    What no option names is as it should be: without options the domain is in order again.
    """
    with needing("sandbox", "the sandbox"):
        from sslctl.sandbox.cdn import cname_target  # noqa: PLC0415 - needs the extra
        from sslctl.sandbox.domain_records import DomainRecord  # noqa: PLC0415 - needs the extra

    name = names.normalise(name)
    target = cname_target(name)
    record = DomainRecord(
        points_at=names.normalise(points_at) if points_at else target,
        caa=read_caa(caa),
        aaaa=read_ipv6(aaaa),
        redirect=read_url(redirect),
    )
    _remote_control(app).set_domain(name, target, record)


@command.command("break", short_help="Inject a fault into C4, DNS or an edge.")
@click.argument("what", type=click.Choice([*_C4_FAULTS, *_DNS_FAULTS, *_EDGE_FAULTS]))
@click.option("--domain", "name", metavar="NAME", help="Only for this domain; default: for all.")
@click.option(
    "--status",
    type=click.IntRange(400, 599),
    help="The HTTP status that C4 answers with; default: 503.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, max=300),
    metavar="N",
    help="The time that DNS takes to answer, with `dns`; default: 30.",
)
@click.pass_obj
def break_something(
    app: App, *, what: str, name: str | None, status: int | None, seconds: float | None
) -> None:
    """Inject a fault into the running sandbox, in place of the one before, until `sslctl sandbox heal`.

    lookup, upload, readback, remove: C4 answers every request of this kind with an error. dnssec: the DNSSEC signatures are broken.
    dns: DNS answers late. edge-lag: one of the three edges gets no new certificates. edge-lie: one of them serves a wrong certificate for every
    domain.
    """
    if status is not None and what not in _C4_FAULTS:
        raise click.UsageError(f"--status goes with {', '.join(_C4_FAULTS)}")
    if seconds is not None and what != _SLOW_DNS:
        raise click.UsageError(f"--seconds goes with {_SLOW_DNS}")
    with needing("sandbox", "the sandbox"):
        from sslctl.sandbox.c4.faults import Operation  # noqa: PLC0415 - needs the extra
        from sslctl.sandbox.domain_records import DnsFault, DnsTrouble  # noqa: PLC0415 - needs the extra
        from sslctl.sandbox.edge_fault import EdgeFault  # noqa: PLC0415 - needs the extra

    if name and what in _EDGE_FAULTS:
        raise click.UsageError(f"--domain does not go with {', '.join(_EDGE_FAULTS)}")
    name = names.normalise(name) if name else None
    control = _remote_control(app)
    if what in _C4_FAULTS:
        control.inject_fault(Operation(what), _STATUS if status is None else status, name)
    elif what in _EDGE_FAULTS:
        control.inject_edge_fault(EdgeFault(what))
    else:
        delay = _SLOW_SECONDS if seconds is None else seconds
        control.inject_dns_trouble(DnsTrouble(DnsFault(what), name or "", delay))


@command.command("heal", short_help="Clear the faults of C4, DNS and the edges.")
@click.pass_obj
def heal(app: App) -> None:
    """Clear all faults of C4, DNS and the edges in the running sandbox."""
    _remote_control(app).clear_faults()


def _remote_control(app: App) -> RemoteControl:
    with needing("sandbox", "the sandbox"):
        from sslctl.sandbox.remote_control import RemoteControl  # noqa: PLC0415 - needs the extra

    return RemoteControl(app.config.path)


@command.command("demo", short_help="Run a demonstration in a sandbox.")
def demo() -> int:
    """Run a demonstration: add, list, view, download, renew, a failing C4, a certificate by text, delete."""
    with needing("sandbox", "the sandbox"):
        from sslctl.sandbox.demo import CERTIFICATE_SECONDS, Demo  # noqa: PLC0415 - needs the extra

    with (
        _interrupts() as interrupts,
        open_folder(None) as folder,
        _sandbox_cdn(
            folder.path, certificate_seconds=CERTIFICATE_SECONDS, activation_seconds=0.5, ca_limits=True
        ) as cdn,
    ):
        interrupts.message = _stopping(folder)
        _make_state(cdn)
        story = Demo(cdn, write_line)
        story.run()
    if story.failures:
        write_line(f"\nThe demo failed: {len(story.failures)} checks failed.")
        return Exit.BUG
    write_line("\nThe demo is done: all checks passed, and nothing is left running.")
    return Exit.OK


def _sandbox_cdn(
    folder: Path,
    *,
    certificate_seconds: int,
    activation_seconds: float,
    mode: str = "webroot",
    ca_limits: bool = False,
    has_resolver: bool = False,
) -> SandboxCdn:
    with needing("sandbox", "the sandbox"):
        from sslctl.sandbox.cdn import SandboxCdn  # noqa: PLC0415 - needs the extra
        from sslctl.sandbox.limited_ca import LETS_ENCRYPTS  # noqa: PLC0415 - needs the extra

    return SandboxCdn(
        folder,
        # Not to the second: an upload would become active with the next full one.
        clock=lambda: datetime.now(UTC),
        certificate_seconds=certificate_seconds,
        activation_seconds=activation_seconds,
        mode=mode,
        ca_limits=LETS_ENCRYPTS if ca_limits else None,
        has_resolver=has_resolver,
    )


def _make_state(cdn: SandboxCdn) -> None:
    with closing(App(cdn.config_path)) as app:
        # SSLCTL_STATE_DIR may name the state of another installation.
        app.config = load(cdn.config_path, {})
        if app.make_state():
            print_created(app)


class _Interrupts:
    """What a signal does: the first one prints `message` and raises `KeyboardInterrupt`, later ones do not stop the cleaning up."""

    def __init__(self) -> None:
        self.message = "Stopping the sandbox."
        self._is_stopping = False

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        # Python's own streams must not be used here: the signal may have come in the middle of a write.
        with suppress(OSError):
            os.write(2, f"{'Still stopping.' if self._is_stopping else self.message}\n".encode())
        if not self._is_stopping:
            self._is_stopping = True
            raise KeyboardInterrupt


@contextmanager
def _interrupts() -> Iterator[_Interrupts]:
    """Handle SIGINT, SIGTERM and SIGHUP in the block."""
    interrupts = _Interrupts()
    with handling(interrupts.interrupt, (*INTERRUPTS, signal.SIGHUP)):
        yield interrupts
