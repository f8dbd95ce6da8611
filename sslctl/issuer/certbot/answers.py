"""The answers to an order's challenges that were put up, kept from one run to the next.

A run may be killed, or end without a decision, while the CA validates. Its challenge files must stay until the CA has decided,
and the next run must not ask the CA to validate a second time: it would remove the files while that validation runs. So
each answer is noted in a folder of the order, as a file named by its token; the file is not empty once the CA was asked.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path

from sslctl.issuer.certbot import challenge_files
from sslctl.issuer.certbot.challenge_files import TOKEN

# What a note has for each request.
_ASKED = "asked\n"


class Answers:
    """The notes in `folder` about the answers of one order. `final` has the tokens of those that the CA has decided about."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.final: set[str] = set()

    def note(self, token: str) -> None:
        """Note that the file for `token` is about to be written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / token).touch(mode=0o600)

    def note_asked(self, token: str) -> None:
        """Note that the CA is about to be asked to validate `token`."""
        with (self._folder / token).open("a") as note:
            note.write(_ASKED)

    def is_asked(self, token: str) -> bool:
        """Return whether the CA may have been asked to validate `token`, in this run or an earlier one."""
        return self.seconds_since_asked(token) < inf

    def seconds_since_asked(self, token: str) -> float:
        """Return how long ago the CA was last asked to validate `token`, infinity if it was not; 0 after a clock was set back."""
        try:
            state = (self._folder / token).stat()
        except OSError:
            return inf
        return max(0.0, time.time() - state.st_mtime) if state.st_size else inf

    @property
    def has_asked(self) -> bool:
        """Whether the CA may have been asked to validate any of the answers."""
        return any(map(self.is_asked, self._tokens()))

    def may_end(self, token: str) -> bool:
        """Return whether the file for `token` is needed no more: the CA has decided, or was never asked.

        After two requests one validation may still run when the other has succeeded, and its failure would end the order. Then
        the file stays until the order is closed.
        """
        return not self.is_asked(token) or (token in self.final and not self._is_asked_again(token))

    def _is_asked_again(self, token: str) -> bool:
        try:
            return (self._folder / token).stat().st_size > len(_ASKED)
        except OSError:
            return False

    def drop(self, token: str) -> None:
        """Forget the answer for `token`, whose file is gone."""
        (self._folder / token).unlink(missing_ok=True)

    def remove_final(self, webroot: Path | None) -> None:
        """Remove the files below `webroot` of what the CA has decided about, and forget these answers. Raise `OSError`."""
        self._remove(webroot, set(filter(self.may_end, self.final.intersection(self._tokens()))))

    def remove_all(self, webroot: Path | None) -> None:
        """Remove every file below `webroot`, if there is one, and forget all answers: the order is closed. Raise `OSError`."""
        self._remove(webroot, set(self._tokens()))
        shutil.rmtree(self._folder, ignore_errors=True)

    def _remove(self, webroot: Path | None, tokens: set[str]) -> None:
        if not tokens or webroot is None:
            return
        with challenge_files.opened(webroot) as folder:
            for token in tokens:
                challenge_files.clear(folder, token)
                self.drop(token)

    def _tokens(self) -> Iterator[str]:
        try:
            yield from [path.name for path in self._folder.iterdir() if TOKEN.fullmatch(path.name)]
        except OSError:
            return


class NoAnswers(Answers):
    """The answers in stateless mode: the edges give them before, during and after a run, so nothing is noted."""

    def __init__(self) -> None:
        # A folder that cannot exist.
        super().__init__(Path(os.devnull) / "none")

    def note(self, token: str) -> None:
        """Note nothing."""

    def note_asked(self, token: str) -> None:
        """Note nothing: a validation that is requested twice gets the right answer twice."""
