"""`sslctl metrics`."""

from __future__ import annotations

import click

from sslctl.app import App
from sslctl.cli.output.errors import print_error
from sslctl.cli.output.stdout import write_line
from sslctl.errors import Exit, SslctlError
from sslctl.metrics.collecting import collect
from sslctl.metrics.exposition import render


@click.command("metrics")
@click.pass_obj
def command(app: App) -> int:
    """Print the figures of the whole fleet as metrics for Prometheus.

    `sslctl daemon-tick --metrics-file FILE` writes the same text into a file, for node_exporter's textfile collector.
    What could not be read is absent; then the exit code is that of the first error.
    """
    app.only_reads = True
    # Without a state there is nothing to print.
    _ = app.store
    text, errors = read_metrics(app)
    write_line(text.decode().rstrip("\n"))
    if not errors:
        return Exit.OK
    print_error(f"some metrics are absent: {errors[0].message}", errors[0].hint)
    return errors[0].exit_code


def read_metrics(app: App) -> tuple[bytes, list[SslctlError]]:
    """Return the metrics as text, as far as they can be read, and the error of each group that could not.

    Raise `ConfigError` if prometheus_client is not installed.
    """
    found = collect(lambda: app.store, app.clock(), lambda: app.renewal, lambda: app.config.ca_limits)
    return render(found.samples), found.errors
