"""The command line: the group of commands, and the only place where an error becomes an exit code."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from sslctl import __version__
from sslctl.app import App
from sslctl.cli.output import render
from sslctl.errors import Exit, SslctlError
from sslctl.system import core_dumps
from sslctl.text import clean

# Each command is the function `command` of its module, imported when it is asked for.
COMMANDS = {
    "add": "Get certificates for domains and put them on the edge.",
    "list": "List the managed domains with their statuses.",
    "view": "Show all there is to know of a domain, and its history.",
    "download": "Write a certificate and its key into files.",
    "delete": "Take domains out of management.",
    "recheck": "Check domains now: those named, or all that are not well.",
    "daemon-tick": "Do what is due: what cron runs.",
    "forecast": "Show the orders of the coming days, and whether they fit.",
    "audit": "Who did what, and whether anybody edited that.",
    "keys": "Rotate the key that seals the private keys; destroy those of old certificates.",
    "backup": "Write a copy of the state into one file, while others work.",
    "restore": "Make the state out of a backup, where there is none.",
    "doctor": "Look at all that sslctl needs, and change nothing.",
    "notify": "Send a test message to the people who are told of Emergencies.",
    "sandbox": "A whole CDN on this machine, to try sslctl on.",
}

_LONGEST_MESSAGE = 2000
_OBJECTS_BETWEEN_COLLECTIONS = 50_000
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Commands(click.Group):
    """The commands of `COMMANDS`, in that order."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; when the reader of its output has left (`sslctl list | head`), that is all right."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # click itself would end the process with 1.
            render.let_go()
            return Exit.OK

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command's module and give its command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"sslctl.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the table without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration file; otherwise SSLCTL_CONFIG, the user's or /etc/sslctl/config.toml.",
)
@click.version_option(__version__, prog_name="sslctl")
@click.pass_context
def sslctl(ctx: click.Context, config_path: Path | None) -> None:
    """Free TLS certificates for a CDN's customers: issued by certbot, put on the edge, kept renewed.

    Exit codes: 0 done, 2 usage, 3 Pending, 4 Failure, 5 some domains are not well, 6 Discard, 7 Emergency,
    8 configuration or state unusable, 9 no such domain here, 75 busy or try later.
    """
    if os.environ.get("NO_COLOR"):
        # https://no-color.org
        ctx.color = False
    if ctx.obj is None:
        ctx.obj = App(config_path)
    ctx.call_on_close(ctx.obj.close)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    # Whatever is written, keys among it, is for this user alone.
    os.umask(0o077)
    core_dumps.forbid()
    # OpenSSL would write the keys of our connections there, and with them the token can be read.
    os.environ.pop("SSLKEYLOGFILE", None)
    _open_closed_streams()
    # To list a fleet makes millions of values without a cycle among them; to look for one after every 700, as Python
    # does by itself, takes a tenth of the time.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None, app: App | None = None) -> int:
    """Run the command line with `arguments` (default: the process's) and give the exit code."""
    try:
        result = sslctl.main(arguments, prog_name="sslctl", standalone_mode=False, obj=app)
        sys.stdout.flush()
    except SslctlError as error:
        _complain(error.message, error.hint)
        return error.exit_code
    except click.Abort:
        _complain("interrupted")
        return Exit.INTERRUPTED
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        _complain(error.format_message(), f"see `{context.command_path} --help`" if context else None)
        return Exit.USAGE
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            return _complain_of_bug(error)
        # Python would complain once more at exit.
        render.let_go()
        _complain(f"the output cannot be written: {error.strerror}")
        return Exit.UNUSABLE
    except Exception as error:  # noqa: BLE001 - the last resort: say that it is our fault
        return _complain_of_bug(error)
    return result if isinstance(result, int) else Exit.OK


def _complain_of_bug(error: Exception) -> int:
    _complain(
        f"unexpected {type(error).__name__}: {clean(error)}", "this is a bug; SSLCTL_DEBUG=1 shows where"
    )
    if os.environ.get("SSLCTL_DEBUG"):
        traceback.print_exc()
    return Exit.BUG


def _open_closed_streams() -> None:
    """Stand in for standard streams that are closed: the next file opened, a database even, would take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It gets the lowest free number, which is that of the closed stream.
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open until the process ends


def _complain(message: str, hint: str | None = None) -> None:
    # What an operator or a file gave may stand in it.
    click.echo(f"sslctl: error: {clean(message, _LONGEST_MESSAGE)}", err=True)
    if hint:
        click.echo(f"sslctl: hint: {clean(hint, _LONGEST_MESSAGE)}", err=True)
