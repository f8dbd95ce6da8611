"""The command line: the group of commands, and the only place that turns errors into exit codes."""

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
from sslctl.cli.output.progress import print_notice
from sslctl.cli.output.stdout import discard_stdout, write_any_text, write_json_error, write_line
from sslctl.errors import Exit, SslctlError
from sslctl.system import core_dumps
from sslctl.system.limits import explain
from sslctl.text import clean

# Each command is the function `command` in its module, imported when it is run.
COMMANDS = {
    "add": "Get certificates for domains and install them on the edge.",
    "list": "List the managed domains with their statuses.",
    "view": "Show everything about one domain.",
    "download": "Write a certificate and its key into files.",
    "delete": "Stop managing domains, and remove their certificates from the edge.",
    "adopt": "Keep the certificates that others installed on C4.",
    "recheck": "Check domains now: those named, or all that are not well.",
    "daemon-tick": "Run everything that is due; cron runs this every 5 minutes.",
    "note": "Write a note on a domain, for other people.",
    "assign": "Record who takes care of a domain.",
    "customer": "Record whose domain it is, if C4 does not say.",
    "snooze": "Leave domains with known trouble out of the messages to people for a time.",
    "forecast": "Show how many orders the coming days bring.",
    "audit": "Show who did what, and verify that nobody edited the history.",
    "claims": "List which process works on what, and break the claim of one that hangs.",
    "pause": "Pause orders and uploads for maintenance of C4 or the CDN.",
    "resume": "End the maintenance pause.",
    "pauses": "List the maintenance pause and the pauses of the CA, and lift those of the CA.",
    "keys": "Rotate the encryption key, and destroy old private keys.",
    "init": "Create an empty state, which every command except add and restore needs.",
    "backup": "Write a copy of the state into one file.",
    "restore": "Restore the state from a backup.",
    "doctor": "Check the installation, without changing anything.",
    "notify": "Send a test message to every URL of [notify] and its routes.",
    "sandbox": "Run a whole CDN on this machine, to try sslctl on.",
}

_LONGEST_MESSAGE = 2000
_OBJECTS_BETWEEN_COLLECTIONS = 50_000
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Commands(click.Group):
    """The commands of `COMMANDS`, in that order."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. It is no error if the reader of its output has left (`sslctl list | head`).

        With `--json`, an error is written as JSON, too.
        """
        try:
            return self._invoke(ctx)
        except BrokenPipeError:
            # click itself would end the process with exit code 1.
            discard_stdout()
            return Exit.OK

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SslctlError as error:
            write_json_error(ctx, error)
            raise
        except Exception as error:
            limit = explain(error)
            if limit is not None:
                write_json_error(ctx, limit)
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the module of the command and return the command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"sslctl.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the table of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration file; default: SSLCTL_CONFIG, the user's file, or /etc/sslctl/config.toml.",
)
@click.version_option(__version__, prog_name="sslctl")
@click.pass_context
def sslctl(ctx: click.Context, config_path: Path | None) -> None:
    """Manage free TLS certificates for a CDN's customers: certbot issues them, C4 installs them on the edge.

    Exit codes: 0 done, 2 usage, 3 Pending, 4 Failure, 5 some domains are not well, 6 Discard, 7 Emergency,
    8 configuration or state unusable, 9 no such domain here, 75 busy or try later.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        # https://no-color.org
        ctx.color = False
    if ctx.obj is None:
        ctx.obj = App(config_path)
    ctx.obj.on_wait = print_notice
    ctx.call_on_close(ctx.obj.close)
    if ctx.invoked_subcommand is None:
        write_line(ctx.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    # All files, keys among them, are private to this user.
    os.umask(0o077)
    core_dumps.forbid()
    # OpenSSL would write the session keys of our connections to this file; they reveal the token.
    os.environ.pop("SSLKEYLOGFILE", None)
    _open_closed_streams()
    write_any_text()
    # Listing a fleet creates millions of objects without reference cycles. Collecting after every 700 objects, Python's
    # default, takes a tenth of the time.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None, app: App | None = None) -> int:
    """Run the command line with `arguments` (default: those of the process) and return the exit code."""
    try:
        result = sslctl.main(arguments, prog_name="sslctl", standalone_mode=False, obj=app)
        sys.stdout.flush()
    except SslctlError as error:
        _print_error(error.message, error.hint)
        return error.exit_code
    except click.Abort:
        _print_error("interrupted")
        return Exit.INTERRUPTED
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        _print_error(error.format_message(), f"see `{context.command_path} --help`" if context else None)
        return Exit.USAGE
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            return _print_unforeseen(error)
        # Otherwise Python would report the same error again at exit.
        discard_stdout()
        _print_error(f"the output cannot be written: {error.strerror}")
        return Exit.UNUSABLE
    except Exception as error:  # noqa: BLE001 - the last resort: report a limit of the machine, or a bug
        return _print_unforeseen(error)
    return result if isinstance(result, int) else Exit.OK


def _print_unforeseen(error: Exception) -> int:
    limit = explain(error)
    if limit is not None:
        _print_error(limit.message, limit.hint)
        return limit.exit_code
    _print_error(
        f"unexpected {type(error).__name__}: {clean(error)}",
        "this is a bug in sslctl; SSLCTL_DEBUG=1 prints the traceback",
    )
    if os.environ.get("SSLCTL_DEBUG"):
        traceback.print_exc()
    return Exit.BUG


def _open_closed_streams() -> None:
    """Open closed standard streams, so that no other file, such as the database, gets their descriptors."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It gets the lowest free descriptor, which is that of the closed stream.
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open until the process ends


def _print_error(message: str, hint: str | None = None) -> None:
    # A message may quote what an operator typed or a file contains.
    click.echo(f"sslctl: error: {clean(message, _LONGEST_MESSAGE)}", err=True)
    if hint:
        click.echo(f"sslctl: hint: {clean(hint, _LONGEST_MESSAGE)}", err=True)
