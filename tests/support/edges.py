"""Edges in front of a `Cdn`, which sslctl is configured to ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sslctl.sandbox.edge import Edge
from tests.support.cdn import Cdn


@contextmanager
def edges_of(cdn: Cdn, number: int, *others: str, **settings: float) -> Iterator[list[Edge]]:
    """Run `number` edges for the block, and configure them, the edges `others`, and the `settings` of [verify]."""
    with ExitStack() as stack:
        edges = [stack.enter_context(Edge(cdn.c4, None)) for _ in range(number)]
        configure(cdn, *map(address, edges), *others, **settings)
        yield edges


def configure(cdn: Cdn, *edges: str, **settings: float) -> None:
    """Write the section [verify] with these edges and settings in place of the one that is there."""
    text = cdn.config_path.read_text().partition("[verify]")[0]
    lines = [f"{key} = {value}" for key, value in settings.items()]
    quoted = ", ".join(f'"{each}"' for each in edges)
    cdn.config_path.write_text("\n".join([text.rstrip(), "[verify]", f"edges = [{quoted}]", *lines, ""]))


def address(edge: Edge) -> str:
    """Return an edge as in the configuration."""
    return f"127.0.0.1:{edge.https_port}"
