"""Count the uploads that C4 did not accept, by reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sslctl.issuance.pass_ended import PassEnded
from sslctl.rules.reasons import Code
from sslctl.store.interface.versions import Versions

# The ends of an upload that was not begun, because an operator paused uploads.
_PAUSED = (Code.MAINTENANCE, Code.UPLOAD_PAUSED)


@contextmanager
def counting_failures(store: Versions) -> Iterator[None]:
    """Return a block that uploads; if it raises `PassEnded`, count a failed upload with that code."""
    try:
        yield
    except PassEnded as ended:
        if ended.problem.code not in _PAUSED:
            store.count_failed_upload(ended.problem.code)
        raise
