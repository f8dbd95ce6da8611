"""The command line: the group of commands, and the only place that turns errors into exit codes."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
import traceback
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click
from click.shell_completion import CompletionItem

from sslctl import __version__
from sslctl.app import App
from sslctl.cli.completion_answers import VARIABLE, answer, find_shell
from sslctl.cli.output.errors import print_error
from sslctl.cli.output.progress import print_notice
from sslctl.cli.output.stdout import discard_stdout, expect_json, write_any_text, write_json_error, write_line
from sslctl.errors import INTERRUPTED, WRONG_USAGE, Exit, SslctlError
from sslctl.system import core_dumps
from sslctl.system.actor import LONGEST_PERSON
from sslctl.system.limits import explain
from sslctl.text import clean, join_hints

# Each command is the function `command` in its module, imported when it is run. Its text fits on one line of a terminal with 80
# columns.
COMMANDS = {
    "add": "Get certificates for domains and install them on the edge.",
    "list": "List the managed domains with their statuses.",
    "todo": "Show everything that needs a person, the most urgent first.",
    "view": "Show everything about one domain.",
    "check": "Find out what an order would meet now, and who must act.",
    "download": "Write a certificate and its key into files.",
    "delete": "Stop managing domains, and remove their certificates from C4.",
    "revoke": "Revoke a certificate for cause; its domain stays managed.",
    "adopt": "Keep the certificates that others installed on C4.",
    "import": "Take over domains and certificates, from certbot or CSV.",
    "sync": "Compare the domains in C4 with those that are managed here.",
    "recheck": "Check domains now: those named, or all that are not well.",
    "message": "Print what to write to a customer, in English or Chinese.",
    "daemon-tick": "Run everything that is due; cron runs this every 5 minutes.",
    "serve": "Show the SSL Management page in a browser.",
    "report": "Write the state of the fleet into one HTML file.",
    "export": "Write domains or history as CSV, JSON lines or a calendar.",
    "note": "Write a note on a domain, for other people.",
    "assign": "Record who takes care of a domain.",
    "customer": "Record whose domain it is, if C4 does not say.",
    "set": "Choose key type, profile or chain of certificates.",
    "snooze": "Leave domains out of the messages to people for a time.",
    "forecast": "Show how many orders the coming days bring.",
    "metrics": "Print metrics of the whole fleet, for Prometheus.",
    "audit": "Show who did what, and verify that nobody edited the history.",
    "history": "Move old history into archives, and list these.",
    "claims": "List which process works on what, and break claims.",
    "pause": "Pause orders and uploads for maintenance of C4 or the CDN.",
    "resume": "End the maintenance pause.",
    "pauses": "List the pauses, and lift those of the CA.",
    "acme": "Let the edges answer challenges, and rotate the account key.",
    "keys": "Rotate the encryption key, and destroy old private keys.",
    "init": "Create an empty state, which most other commands need.",
    "backup": "Write a copy of the state into one file.",
    "restore": "Restore the state from a backup.",
    "state": "Move the state into PostgreSQL, or back into SQLite.",
    "doctor": "Check the installation, without changing anything.",
    "completion": "Print a script that lets a shell complete commands and domains.",
    "notify": "Send a test message to every URL of [notify] and its routes.",
    "schema": "Print the JSON Schema of what a command prints with --json.",
    "sandbox": "Run a whole CDN on this machine, to try sslctl on.",
}

_WORDS = "sslctl.words"
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
        except click.exceptions.Exit:
            raise
        except click.ClickException as error:
            _raise_explained(ctx, error)
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, SslctlError):
                from sslctl.cli.name_hints import add_hint  # noqa: PLC0415 - needed for errors only

                add_hint(ctx, error)
            _write_json_problem(ctx, error)
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command. With `--json` among `args`, wrong usage is an error as JSON, too."""
        if "--json" in takewhile(lambda argument: argument != "--", args):
            expect_json(ctx)
        ctx.meta[_WORDS] = words, rest = list(args), list[str]()
        try:
            rest = super().parse_args(ctx, args)
        except click.ClickException as error:
            _raise_explained(ctx, error)
        ctx.meta[_WORDS] = words, list(rest)
        return rest

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` names. Raise `click.UsageError` if there is none, with those that may be meant."""
        if not ctx.resilient_parsing and args[0] not in COMMANDS and not args[0].startswith("-"):
            from sslctl.cli.usage_hints import unknown_command  # noqa: PLC0415 - needed for errors only

            raise unknown_command(args[0], list(COMMANDS), ctx)
        return super().resolve_command(ctx, args)

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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return the commands and options that begin with `incomplete`, without importing any command."""
        items = [
            CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

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
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain"]),
    default="auto",
    help="auto: one line that changes, on a terminal only. plain: a line on standard error for each step.",
)
@click.option("--page-person", default="", hidden=True)
@click.version_option(__version__, prog_name="sslctl")
@click.pass_context
def sslctl(ctx: click.Context, config_path: Path | None, progress: str, page_person: str) -> None:
    """Manage free TLS certificates for a CDN's customers: certbot issues them, C4 installs them on the edge.

    Exit codes: 0 done, 2 usage, 3 Pending, 4 Failure, 5 some domains are not well, 6 Discard, 7 Emergency,
    8 configuration or state unusable, 9 no such domain here, 75 busy or try later.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        # https://no-color.org
        ctx.color = False
    if ctx.obj is None:
        ctx.obj = App(config_path)
    # The page runs commands for its users in processes of their own.
    ctx.obj.person = clean(page_person, LONGEST_PERSON)
    ctx.obj.on_wait = print_notice
    ctx.obj.plain_progress = progress == "plain"
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
    shell = find_shell()
    if shell is not None:
        answer(shell, sslctl)
        sys.exit(Exit.OK)
    # If it was left behind by accident, click would answer it instead of running the command.
    os.environ.pop(VARIABLE, None)
    exit_code = run(arguments)
    # The process ends: Python would search all objects for garbage once more, which takes longer than many a command.
    gc.freeze()
    sys.exit(exit_code)


def run(arguments: list[str] | None = None, app: App | None = None) -> int:
    """Run the command line with `arguments` (default: those of the process) and return the exit code."""
    try:
        result = sslctl.main(arguments, prog_name="sslctl", standalone_mode=False, obj=app)
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - the last resort: report a limit of the machine, or a bug
        if _is_unwritable(error):
            # Otherwise Python would report the same error again at exit.
            discard_stdout()
        problem = _describe(error)
        print_error(problem.message, problem.hint)
        if problem.exit_code == Exit.BUG and os.environ.get("SSLCTL_DEBUG"):
            traceback.print_exc()
        return problem.exit_code
    return result if isinstance(result, int) else Exit.OK


class _Problem(NamedTuple):
    """An error as it is reported: in text on standard error, and as JSON with `--json`."""

    code: str
    message: str
    hint: str | None
    exit_code: int


def _describe(error: BaseException) -> _Problem:
    """Return what `error` means for an operator. An unknown error is a bug, unless a limit of the machine explains it."""
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return _Problem(INTERRUPTED, "interrupted", None, Exit.INTERRUPTED)
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        help_hint = f"see `{context.command_path} --help`" if context else ""
        hint = join_hints(getattr(error, "hint", ""), help_hint) or None
        return _Problem(WRONG_USAGE, error.format_message(), hint, Exit.USAGE)
    if _is_unwritable(error):
        reason = getattr(error, "strerror", None)
        return _Problem("STATE", f"the output cannot be written: {reason}", None, Exit.UNUSABLE)
    known = (
        error if isinstance(error, SslctlError) else explain(error) if isinstance(error, Exception) else None
    )
    if known is not None:
        return _Problem(known.code, known.message, known.hint, known.exit_code)
    return _Problem(
        SslctlError.code,
        f"unexpected {type(error).__name__}: {clean(error)}",
        "this is a bug in sslctl; SSLCTL_DEBUG=1 prints the traceback",
        Exit.BUG,
    )


def _is_unwritable(error: BaseException) -> bool:
    """Return whether `error` is that of an output without disk space."""
    return isinstance(error, OSError) and error.errno in _UNWRITABLE


def _raise_explained(context: click.Context, error: click.ClickException) -> NoReturn:
    """Raise `error`, with the right command line as its hint if that is known, after writing it as JSON if that is expected."""
    from sslctl.cli.usage_hints import Line, explain_usage  # noqa: PLC0415 - needed for errors only

    explained = explain_usage(error, context, Line(*context.meta[_WORDS]))
    _write_json_problem(context, explained)
    raise explained from error


def _write_json_problem(context: click.Context, error: BaseException) -> None:
    """Write `error` as JSON if that is expected, unless standard output itself is what failed."""
    if not isinstance(error, BrokenPipeError) and not _is_unwritable(error):
        write_json_error(context, *_describe(error))


def _open_closed_streams() -> None:
    """Open closed standard streams, so that no other file, such as the database, gets their descriptors."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It gets the lowest free descriptor, which is that of the closed stream.
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open until the process ends
