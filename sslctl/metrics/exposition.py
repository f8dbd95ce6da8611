"""The text of the metrics (https://prometheus.io/docs/instrumenting/exposition_formats/), by prometheus_client, and its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sslctl.config.own_files import find_own_file, is_in_state
from sslctl.config.settings import Config
from sslctl.errors import BadInput
from sslctl.metrics.families import METRICS, Metric, Sample, Type
from sslctl.system.extras import missing_package
from sslctl.system.files import replacing
from sslctl.wording import in_words

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

_FIRST = b"# HELP sslctl_"
# node_exporter runs as another user.
_MODE = 0o644
_NEW_FILE = "name a new file, such as /var/lib/prometheus/node-exporter/sslctl.prom"


class _Samples:
    """Samples as a collector of prometheus_client."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield each metric that has samples."""
        for metric in METRICS:
            of_metric = [sample for sample in self._samples if sample.metric == metric]
            if of_metric:
                yield _family(metric, of_metric)


def _family(metric: Metric, samples: Iterable[Sample]) -> CounterMetricFamily | GaugeMetricFamily:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415

    kind = CounterMetricFamily if metric.type is Type.COUNTER else GaugeMetricFamily
    family = kind(metric.name, in_words(metric.meaning), labels=metric.labels)
    for sample in samples:
        family.add_metric(sample.labels, sample.value)
    return family


def render(samples: Sequence[Sample]) -> bytes:
    """Return `samples` as text, UTF-8. Raise `ConfigError` if prometheus_client is not installed."""
    try:
        # It is slow to import, and an extra.
        from prometheus_client.exposition import generate_latest  # noqa: PLC0415
        from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415
    except ImportError as error:
        raise missing_package("metrics", "metrics need", "prometheus_client") from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Samples(samples))
    return generate_latest(registry)


def write_file(path: Path, text: bytes, config: Config | None) -> None:
    """Write `text` to `path` as a whole, readable by everybody. Raise `BadInput` if that is impossible.

    A file that holds anything but metrics of sslctl is not replaced, and nothing is written into `state.dir` of `config` or to
    another file that it names: somebody mistyped the name. Without a configuration an empty file is not replaced either.
    """
    try:
        if config is not None:
            _require_foreign(config, path)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise BadInput(f"the metrics were not written: {path} is not a regular file")
        if path.exists():
            with path.open("rb") as file:
                first = file.read(len(_FIRST))
            if first != _FIRST and (first or config is None):
                raise BadInput(
                    f"the metrics were not written: {path} holds something else",
                    hint=_NEW_FILE,
                )
        with replacing(path, mode=_MODE) as file:
            file.write(text)
    except OSError as error:
        raise BadInput(
            f"the metrics were not written to {path}: {error.strerror or error}",
            hint="its folder must exist, and the user of sslctl must be able to write there",
        ) from error


def _require_foreign(config: Config, path: Path) -> None:
    """Raise `BadInput` if `path` is one of sslctl's own files, or in `state.dir`."""
    own = find_own_file(config, path)
    if own:
        raise BadInput(f"the metrics were not written: {path} is {own}", hint=_NEW_FILE)
    if is_in_state(config, path):
        raise BadInput(
            f"the metrics were not written: {path} is in state.dir, which is sslctl's own", hint=_NEW_FILE
        )
