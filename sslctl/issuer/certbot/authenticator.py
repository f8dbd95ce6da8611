"""certbot's webroot plugin with its files in our hands: its own would follow links (`issuer.answers`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acme.challenges import ChallengeResponse
from certbot._internal.plugins import webroot
from certbot.achallenges import AnnotatedChallenge

from sslctl.issuer.certbot import challenge_files


class Authenticator(webroot.Authenticator):
    """Answers HTTP challenges below `folder`; what it has written it removes, and nothing else."""

    folder: Path

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._written: dict[str, challenge_files.Identity] = {}

    def perform(self, achalls: list[AnnotatedChallenge]) -> list[ChallengeResponse]:
        """Write the answers; give what the CA is told of each."""
        responses = []
        with challenge_files.opened(self.folder) as folder:
            for each in achalls:
                response, validation = each.response_and_validation()
                token = each.chall.encode("token")
                self._written[token] = challenge_files.write(folder, token, validation.encode())
                responses.append(response)
        return responses

    def cleanup(self, achalls: list[AnnotatedChallenge]) -> None:
        """Remove the answers."""
        with challenge_files.opened(self.folder) as folder:
            for each in achalls:
                token = each.chall.encode("token")
                if token in self._written:
                    challenge_files.remove(folder, token, self._written.pop(token))


def install(folder: Path) -> None:
    """Let certbot find this plugin in the place of its own, with its files below `folder`."""
    Authenticator.folder = folder
    # certbot looks it up in the module whenever it looks for its plugins.
    setattr(webroot, "Authenticator", Authenticator)  # noqa: B010 - mypy takes a class for a type, not a variable
