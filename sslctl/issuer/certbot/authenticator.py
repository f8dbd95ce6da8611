"""A certbot plugin in the place of its webroot plugin, which would follow symbolic links (see `challenge_files`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acme.challenges import ChallengeResponse
from certbot._internal.plugins import webroot
from certbot.achallenges import AnnotatedChallenge

from sslctl.issuer.certbot import challenge_files
from sslctl.issuer.certbot.answers import Answers


class Authenticator(webroot.Authenticator):
    """An authenticator that writes challenge files below `folder`, and removes only files that it wrote.

    It notes them in `answers`. The file of an answer that the CA may still validate stays. Without a folder it writes nothing: the
    edges know the thumbprint of the account key, and answer by themselves.
    """

    folder: Path | None
    answers: Answers

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._written: dict[str, challenge_files.Identity] = {}

    def perform(self, achalls: list[AnnotatedChallenge]) -> list[ChallengeResponse]:
        """Write the challenge files and return the responses for the CA."""
        if self.folder is None:
            return [each.response_and_validation()[0] for each in achalls]
        responses = []
        with challenge_files.opened(self.folder) as folder:
            for each in achalls:
                response, validation = each.response_and_validation()
                token = each.chall.encode("token")
                self.answers.note(token)
                self._written[token] = challenge_files.write(folder, token, validation.encode())
                responses.append(response)
        return responses

    def cleanup(self, achalls: list[AnnotatedChallenge]) -> None:
        """Remove the challenge files that are needed no more."""
        if self.folder is None:
            return
        with challenge_files.opened(self.folder) as folder:
            for each in achalls:
                token = each.chall.encode("token")
                if token in self._written and self.answers.may_end(token):
                    challenge_files.remove(folder, token, self._written.pop(token))
                    self.answers.drop(token)


def install(folder: Path | None, answers: Answers) -> None:
    """Replace certbot's webroot plugin by this one, with its files, if any, below `folder`, which it notes in `answers`."""
    Authenticator.folder, Authenticator.answers = folder, answers
    # certbot looks the class up in this module each time it discovers plugins.
    setattr(webroot, "Authenticator", Authenticator)  # noqa: B010 - mypy takes a class for a type, not a variable
