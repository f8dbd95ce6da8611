"""What a `listener` answers to challenges: the files of a folder, or the thumbprint of the account key to every token."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from sslctl.rules.stateless_answer import key_authorization

# More than any key authorization has (RFC 8555, section 8.1).
_MOST_BYTES = 1 << 12


class ChallengeSource(Protocol):
    """Where a listener gets its answers from."""

    media_type: str

    def find(self, token: str) -> bytes | None:
        """Return the answer to the challenge `token`, None if there is none."""

    def probed(self) -> AbstractContextManager[tuple[str, bytes]]:
        """Return a context manager that yields a random token and its answer while it lasts: who else answers so has the same source."""


class FolderSource:
    """The challenge files of a folder (standalone mode)."""

    media_type = "application/octet-stream"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, token: str) -> bytes | None:
        """See `ChallengeSource.find`."""
        # A few calls of the system only: each may wait for a hundred busy threads.
        try:
            file = os.open(f"{self._folder}/{token}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return os.read(file, _MOST_BYTES)
        finally:
            os.close(file)

    @contextmanager
    def probed(self) -> Iterator[tuple[str, bytes]]:
        """See `ChallengeSource.probed`."""
        token = secrets.token_urlsafe()
        file = self._folder / token
        try:
            file.write_text(token)
            yield token, token.encode()
        finally:
            file.unlink(missing_ok=True)


class ThumbprintSource:
    """The thumbprint of the account key, for every token (stateless mode)."""

    media_type = "text/plain"

    def __init__(self, thumbprint: str) -> None:
        self._thumbprint = thumbprint

    def find(self, token: str) -> bytes | None:
        """See `ChallengeSource.find`."""
        return key_authorization(token, self._thumbprint).encode()

    @contextmanager
    def probed(self) -> Iterator[tuple[str, bytes]]:
        """See `ChallengeSource.probed`."""
        token = secrets.token_urlsafe()
        yield token, key_authorization(token, self._thumbprint).encode()
