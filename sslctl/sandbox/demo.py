"""The whole story on a sandbox: every command is typed for real, and its output is checked."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import trustme

from sslctl.sandbox.c4.faults import Fault, Operation
from sslctl.sandbox.cdn import ELSEWHERE, SandboxCdn
from sslctl.sandbox.listeners import ADDRESS

# Long enough for the story, short enough that a renewal falls due while one watches: half of it.
CERTIFICATE_SECONDS = 30

_GOOD, _ELSEWHERE, _UNKNOWN, _PASTED = (
    "shop.example.test",
    "blog.example.test",
    "gone.example.test",
    "text.example.test",
)


class Demo:
    """Plays the story on `cdn` and tells it through `say`, a line at a time; `failures` says what went wrong."""

    def __init__(self, cdn: SandboxCdn, say: Callable[[str], None]) -> None:
        self._cdn = cdn
        self._say = say
        self._files = cdn.folder / "files"
        self.failures: list[str] = []

    def play(self) -> None:
        """Play all scenes."""
        for scene in (
            self._add,
            self._look,
            self._download,
            self._renew,
            self._emergency,
            self._text,
            self._delete,
        ):
            scene()

    # The scenes

    def _add(self) -> None:
        self._title("Three domains: one good, one whose CNAME is elsewhere, one that C4 does not know")
        self._cdn.add_domain(_GOOD)
        self._cdn.add_domain(_ELSEWHERE, points_at=ELSEWHERE)
        output = self._type(5, "add", _GOOD, _ELSEWHERE, _UNKNOWN)
        self._expect("Success" in output, "the good domain is in Success")
        self._expect("CNAME_ELSEWHERE" in output, "the other one's reason is CNAME_ELSEWHERE")
        self._expect("Discard" in output, "the unknown one is in Discard")

    def _look(self) -> None:
        self._title("What is managed, and one domain in full")
        output = self._type(0, "list")
        for word in ("Success", "Failure", "Discard"):
            self._expect(word in output, f"list shows {word}")
        self._expect("customer" in self._type(0, "view", _ELSEWHERE), "view says that the customer must act")

    def _download(self) -> None:
        self._title("The certificate as a file, and the very same one on the edge")
        self._type(0, "download", _GOOD, "-o", str(self._files))
        leaf = ssl.PEM_cert_to_DER_cert((self._files / "cert.pem").read_text())
        self._expect(
            self._shake_hands(_GOOD) == _fingerprint(leaf), "the edge shows the downloaded certificate"
        )

    def _renew(self) -> None:
        self._title(
            f"Renewal: these certificates live {CERTIFICATE_SECONDS} seconds, so half of that before expiry"
        )
        before = self._serving(_GOOD)
        self._await_renewal()
        self._type(0, "daemon-tick", "--dry-run")
        self._type(0, "daemon-tick")
        self._expect(self._serving(_GOOD) != before, "C4 serves another certificate than before")
        self._expect(
            self._shake_hands(_GOOD) == self._serving(_GOOD), "the edge shows the renewed certificate"
        )

    def _emergency(self) -> None:
        self._title(
            "C4 fails after the CA has issued: Emergency, and the same certificate goes up when C4 is healed"
        )
        self._say("(from here C4 answers every upload with 503)")
        self._cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=503))
        output = self._type(7, "recheck", _GOOD, "--force-renew")
        self._expect("C4_UPLOAD_FAILED" in output, "the reason is C4_UPLOAD_FAILED")
        held = self._view(_GOOD)["certificates"][0]
        self._say("(C4 is healed)")
        self._cdn.c4.heal()
        self._type(0, "daemon-tick")
        after = self._view(_GOOD)
        self._expect(
            self._serving(_GOOD) == held["fingerprint_sha256"], "C4 serves the certificate that was held"
        )
        self._expect(after["certificates"][0]["version"] == held["version"], "no new order was spent")

    def _text(self) -> None:
        self._title("A certificate added by text, then one of the CA's over it, which C4 answers with 409")
        self._cdn.add_domain(_PASTED)
        pair = trustme.CA().issue_cert(_PASTED)
        certificate, key = self._files / "pasted.pem", self._files / "pasted-key.pem"
        certificate.write_bytes(b"".join(block.bytes() for block in pair.cert_chain_pems))
        pair.private_key_pem.write_to_path(str(key))
        self._type(0, "add", _PASTED, "--cert", str(certificate), "--key", str(key))
        self._type(0, "add", _PASTED)
        self._expect(self._view(_PASTED)["serving"]["source"] == "c4", "the CA's certificate is served")
        answers = [request.status for request in self._cdn.c4.requests if request.method == "PUT"]
        self._expect(409 in answers, "C4 did answer 409")  # noqa: PLR2004 - Conflict

    def _delete(self) -> None:
        self._title("Out of management again")
        self._type(0, "delete", _GOOD, "--yes")
        self._type(0, "list")
        self._type(0, "list", "--deleted")
        self._expect(self._cdn.c4.serving(_GOOD) is None, "C4 has no certificate for it any more")

    # How they are played

    def _title(self, text: str) -> None:
        self._say(f"\n== {text}")

    def _type(self, expected: int, *arguments: str) -> str:
        """Run a command, show it and its output, and check its exit code."""
        self._say(f"\n$ sslctl {' '.join(arguments)}")
        result = self._run(*arguments)
        for line in result.stdout.splitlines():
            self._say(line)
        if result.returncode:
            self._say(f"(exit code {result.returncode})")
        self._expect(
            result.returncode == expected, f"`sslctl {' '.join(arguments)}` exits with {expected}", quiet=True
        )
        return result.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SSLCTL_")}
        environment["SSLCTL_CONFIG"] = str(self._cdn.config_path)
        return subprocess.run(
            [sys.executable, "-m", "sslctl", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def _expect(self, holds: bool, what: str, *, quiet: bool = False) -> None:  # noqa: FBT001 - it reads as a sentence
        if not holds:
            self.failures.append(what)
            self._say(f"NOT SO: {what}")
        elif not quiet:
            self._say(f"ok: {what}")

    def _view(self, name: str) -> dict[str, Any]:
        view: dict[str, Any] = json.loads(self._run("view", name, "--json").stdout)["domain"]
        return view

    def _serving(self, name: str) -> str:
        return str(self._view(name)["serving"]["fingerprint_sha256"])

    def _await_renewal(self) -> None:
        """Wait until the tick has something to do."""
        for _ in range(CERTIFICATE_SECONDS):
            if json.loads(self._run("daemon-tick", "--dry-run", "--json").stdout)["planned"]:
                return
            time.sleep(0.5)

    def _shake_hands(self, name: str) -> str:
        """Make a TLS handshake with the edge as a browser would, and give the fingerprint of what it showed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Pebble's root is trusted by nobody; what counts is that it is the very certificate.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        address = (ADDRESS, self._cdn.edge.https_port)
        with (
            socket.create_connection(address, timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            leaf = secure.getpeercert(binary_form=True)
        shown = _fingerprint(leaf or b"")
        self._say(f"TLS handshake with the edge for {name}: SHA-256 {shown}")
        return shown


def _fingerprint(leaf: bytes) -> str:
    return hashlib.sha256(leaf).hexdigest()
