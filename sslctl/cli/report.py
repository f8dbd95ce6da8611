"""`sslctl report`."""

from __future__ import annotations

from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli.extras import needing
from sslctl.cli.options import json_option
from sslctl.cli.output import json_shapes
from sslctl.cli.output.files import writing_one
from sslctl.cli.output.phrases import domain_or_domains
from sslctl.cli.output.stdout import write_json, write_line
from sslctl.config.own_files import require_foreign_file
from sslctl.rules.customer_texts import Language
from sslctl.text import clean


@click.command("report")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--lang",
    type=click.Choice([language.value for language in Language]),
    default=Language.EN.value,
    show_default=True,
    help="The language of the report.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@json_option
@click.pass_obj
def command(app: App, *, file: Path, lang: str, force: bool, as_json: bool) -> None:
    """Write the state of the fleet into FILE as one HTML page, to mail or to archive, mode 0600.

    It has the counts, the charts of `sslctl serve`, and the domains that are not well or have a warning, the most urgent first, at most
    2,000. It has no keys, no links and no scripts.
    """
    with needing("web", "the report"):
        from sslctl.web.report import make_report  # noqa: PLC0415 - needs the extra
    app.only_reads = True
    require_foreign_file(app.config, file)
    report = make_report(app, Language(lang), app.clock())
    content = report.html.encode()
    with writing_one(file, force=force) as opened:
        opened.write(content)
    if as_json:
        counts = {"domains": report.managed, "unwell": report.unwell, "bytes": len(content)}
        write_json(json_shapes.envelope(file=str(file), **counts))
        return
    managed = f"{report.managed:,} {domain_or_domains(report.managed)}"
    write_line(f"{clean(file, 4096)}: {managed}, {report.unwell:,} not well, {len(content):,} bytes")
