"""The demonstration in a sandbox: it runs real commands and checks their output."""

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

# Long enough for the demonstration, and short enough that a renewal, due after half of it, is seen.
CERTIFICATE_SECONDS = 30

_GOOD, _ELSEWHERE, _UNKNOWN, _PASTED = (
    "shop.example.test",
    "blog.example.test",
    "gone.example.test",
    "text.example.test",
)


class Demo:
    """A demonstration on `cdn` that prints its lines through `echo`; `failures` has the checks that failed."""

    def __init__(self, cdn: SandboxCdn, echo: Callable[[str], None]) -> None:
        self._cdn = cdn
        self._echo = echo
        self._files = cdn.folder / "files"
        self.failures: list[str] = []

    def run(self) -> None:
        """Run all scenes."""
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
        self._title(
            "Three domains: a good one, one whose CNAME points elsewhere, and one that C4 does not know"
        )
        self._cdn.add_domain(_GOOD)
        self._cdn.add_domain(_ELSEWHERE, points_at=ELSEWHERE)
        output = self._show(5, "add", _GOOD, _ELSEWHERE, _UNKNOWN)
        self._expect("Success" in output, "the good domain is in Success")
        self._expect("CNAME_ELSEWHERE" in output, "the reason of the second domain is CNAME_ELSEWHERE")
        self._expect("Discard" in output, "the unknown domain is in Discard")

    def _look(self) -> None:
        self._title("The managed domains, and one of them in detail")
        output = self._show(0, "list")
        for word in ("Success", "Failure", "Discard"):
            self._expect(word in output, f"list shows {word}")
        self._expect(
            "customer" in self._show(0, "view", _ELSEWHERE), "view names the customer as the one who must act"
        )

    def _download(self) -> None:
        self._title("The certificate as a file, and the same certificate on the edge")
        self._show(0, "download", _GOOD, "-o", str(self._files))
        leaf = ssl.PEM_cert_to_DER_cert((self._files / "cert.pem").read_text())
        self._expect(
            self._shake_hands(_GOOD) == _fingerprint(leaf), "the edge serves the downloaded certificate"
        )

    def _renew(self) -> None:
        self._title(
            f"Renewal: these certificates live {CERTIFICATE_SECONDS} seconds and are renewed after half of that"
        )
        before = self._serving(_GOOD)
        self._await_renewal()
        self._show(0, "daemon-tick", "--dry-run")
        self._show(0, "daemon-tick")
        self._expect(self._serving(_GOOD) != before, "C4 serves a new certificate")
        self._expect(
            self._shake_hands(_GOOD) == self._serving(_GOOD), "the edge serves the renewed certificate"
        )

    def _emergency(self) -> None:
        self._title(
            "C4 fails after the CA has issued: Emergency; when C4 works again, the same certificate is uploaded"
        )
        self._echo("(fault injected: C4 answers every upload with 503)")
        self._cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=503))
        output = self._show(7, "recheck", _GOOD, "--force-renew")
        self._expect("C4_UPLOAD_FAILED" in output, "the reason is C4_UPLOAD_FAILED")
        held = self._view(_GOOD)["certificates"][0]
        self._echo("(fault cleared: C4 works again)")
        self._cdn.c4.heal()
        self._show(0, "daemon-tick")
        after = self._view(_GOOD)
        self._expect(
            self._serving(_GOOD) == held["fingerprint_sha256"], "C4 serves the certificate that was waiting"
        )
        self._expect(after["certificates"][0]["version"] == held["version"], "no new order was placed")

    def _text(self) -> None:
        self._title(
            "A certificate added by text, then one of the CA in its place, which C4 first answers with 409"
        )
        self._cdn.add_domain(_PASTED)
        pair = trustme.CA().issue_cert(_PASTED)
        certificate, key = self._files / "pasted.pem", self._files / "pasted-key.pem"
        certificate.write_bytes(b"".join(block.bytes() for block in pair.cert_chain_pems))
        pair.private_key_pem.write_to_path(str(key))
        self._show(0, "add", _PASTED, "--cert", str(certificate), "--key", str(key))
        self._show(0, "add", _PASTED)
        self._expect(self._view(_PASTED)["serving"]["source"] == "c4", "the CA's certificate is served")
        answers = [request.status for request in self._cdn.c4.requests if request.method == "PUT"]
        self._expect(409 in answers, "C4 answered 409")  # noqa: PLR2004 - Conflict

    def _delete(self) -> None:
        self._title("A domain is deleted")
        self._show(0, "delete", _GOOD, "--yes")
        self._show(0, "list")
        self._show(0, "list", "--deleted")
        self._expect(self._cdn.c4.serving(_GOOD) is None, "C4 has no certificate for the domain any more")

    # Helpers

    def _title(self, text: str) -> None:
        self._echo(f"\n== {text}")

    def _show(self, expected: int, *arguments: str) -> str:
        """Run a command, print it and its output, check its exit code, and return its output."""
        self._echo(f"\n$ sslctl {' '.join(arguments)}")
        result = self._run(*arguments)
        for line in result.stdout.splitlines():
            self._echo(line)
        if result.returncode:
            self._echo(f"(exit code {result.returncode})")
        self._expect(
            result.returncode == expected, f"`sslctl {' '.join(arguments)}` exits with {expected}", quiet=True
        )
        return result.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SSLCTL_")}
        environment["SSLCTL_CONFIG"] = str(self._cdn.config_path)
        return subprocess.run(
            [sys.executable, "-P", "-m", "sslctl", *arguments],
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
            self._echo(f"CHECK FAILED: {what}")
        elif not quiet:
            self._echo(f"ok: {what}")

    def _view(self, name: str) -> dict[str, Any]:
        view: dict[str, Any] = json.loads(self._run("view", name, "--json").stdout)["domain"]
        return view

    def _serving(self, name: str) -> str:
        return str(self._view(name)["serving"]["fingerprint_sha256"])

    def _await_renewal(self) -> None:
        """Wait until the tick has due work."""
        for _ in range(CERTIFICATE_SECONDS):
            if json.loads(self._run("daemon-tick", "--dry-run", "--json").stdout)["planned"]:
                return
            time.sleep(0.5)

    def _shake_hands(self, name: str) -> str:
        """Make a TLS handshake with the edge, and return the fingerprint of the certificate that it serves."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # No client trusts Pebble's root. The check compares fingerprints instead.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        address = (ADDRESS, self._cdn.edge.https_port)
        with (
            socket.create_connection(address, timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            leaf = secure.getpeercert(binary_form=True)
        shown = _fingerprint(leaf or b"")
        self._echo(f"TLS handshake with the edge for {name}: SHA-256 {shown}")
        return shown


def _fingerprint(leaf: bytes) -> str:
    return hashlib.sha256(leaf).hexdigest()
