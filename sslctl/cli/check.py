"""`sslctl check`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from sslctl.app import App
from sslctl.cli.completion_names import complete_name
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.diagnosis import write_diagnosis
from sslctl.cli.output.stdout import write_json_list, write_line
from sslctl.cli.output.summary import NEEDS, WAITS, Phrase, print_done
from sslctl.diagnosis import Diagnosis
from sslctl.errors import Exit
from sslctl.rules import names

_READY = Phrase("is ready for an order", "are ready for an order")


@click.command("check")
@click.argument("domains", metavar="DOMAIN...", nargs=-1, required=True, shell_complete=complete_name)
@json_option
@click.pass_obj
def command(app: App, *, domains: tuple[str, ...], as_json: bool) -> int:
    """Find out what an order for a domain would meet now, and who must act; nothing is ordered or recorded.

    The domain need not be managed. Each step shows what was found and what is wanted: C4's record, the CNAME chain, addresses,
    DNSSEC, CAA, the resolvers, ports 80 and 443, a token fetched through port 80 as the CA will, the certificate that is served there, and the limits of the CA. The steps
    after a failed one are made too. For a domain before its cutover it ends with whether it is safe to switch DNS. Other names of a managed certificate are checked with it.

    Exit codes: 0 an order would succeed; 3 it would wait; 4 it would fail; 6 C4 does not know the domain; 75 something did
    not answer; 5 for several domains, if one of them has none of 0.
    """
    wanted = list(dict.fromkeys(map(names.normalise, domains)))
    codes: list[int] = []
    found = _noting(app.diagnose(wanted), codes)
    if as_json:
        answer = json_shapes.envelope(at=json_shapes.instant(app.clock()))
        shapes = (json_shapes.diagnosis(diagnosis, app.clock()) for diagnosis in found)
        write_json_list(answer, "diagnoses", shapes)
    else:
        for diagnosis in found:
            if len(codes) > 1:
                write_line("")
            write_diagnosis(diagnosis, app.clock())
        waiting = sum(code in (Exit.PENDING, Exit.TRY_LATER) for code in codes)
        ready = codes.count(Exit.OK)
        others = (waiting, WAITS), (len(codes) - ready - waiting, NEEDS)
        print_done(ready, len(codes), _READY, others, "names")
    if len(codes) == 1:
        return codes[0]
    return Exit.SOME_NOT_WELL if any(codes) else Exit.OK


def _noting(found: Iterator[Diagnosis], codes: list[int]) -> Iterator[Diagnosis]:
    """Yield the diagnoses, and add the exit code of each to `codes`."""
    for diagnosis in found:
        codes.append(diagnosis.exit_code)
        yield diagnosis
