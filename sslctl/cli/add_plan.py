"""`sslctl add --dry-run`: what would be recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sslctl.cli.output import json_shapes
from sslctl.cli.output.outcomes import print_error
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.errors import Exit
from sslctl.fleet.enrolment import Action, Planned

_WORDS = {
    Action.ADD: "would be recorded",
    Action.CHANGE: "would be changed",
    Action.NONE: "managed already",
}


def write_plan(planned: Sequence[Planned], *, as_json: bool) -> int:
    """Write what is `planned`, and return the exit code.

    Refused domains make it that of `add` itself: the error of the only domain is raised, and of a list it is 5.
    """
    refused = {each.name: each.error for each in planned if each.error is not None}
    if len(planned) == 1 and refused:
        raise refused[planned[0].name]
    for name, error in refused.items():
        print_error(name, error)
    if as_json:
        rows = (_to_json(each) for each in planned)
        write_json_list(json_shapes.envelope(dry_run=True), "would_record", rows)
    else:
        for each in planned:
            if each.error is None:
                write_line(_describe(each))
        counts = Counter(each.action for each in planned)
        write_line(
            f"Nothing was recorded: {counts[Action.ADD]} new, {counts[Action.CHANGE]} to change, "
            f"{counts[Action.NONE]} managed already, {counts[Action.REFUSE]} refused."
        )
    return Exit.SOME_NOT_WELL if refused else Exit.OK


def _describe(planned: Planned) -> str:
    line = f"{planned.name}: {_WORDS[planned.action]}"
    if planned.sans:
        line += f", with {', '.join(planned.sans)}"
    if planned.customer is not None:
        line += f", customer {planned.customer}" if planned.customer else ", without its recorded customer"
    left_out = [name for name in planned.before if name not in planned.sans]
    return f"{line}, without {', '.join(left_out)}" if left_out else line


def _to_json(planned: Planned) -> dict[str, object]:
    error = planned.error
    return {
        "domain": planned.name,
        "action": planned.action,
        "sans": list(planned.sans),
        "sans_before": list(planned.before),
        "customer": planned.customer or None,
        "error": None if error is None else error.code,
        "message": None if error is None else error.message,
    }
