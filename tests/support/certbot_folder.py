"""A configuration folder as certbot makes it, with certificates of the fake CA; the links are those of certbot 5."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sslctl.rules.model import Bundle
from tests.support.fakes import Clock, FakeIssuer

SERVER = "https://ca.test/directory"


class CertbotFolder:
    """certbot's folder at `path`. The certificates of each lineage come from `issuer`, at the time of `clock`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.issuer = FakeIssuer(clock)
        for part in ("live", "archive", "renewal"):
            (path / part).mkdir(parents=True)
        (path / "live" / "README").write_text("This directory contains your keys and certificates.\n")

    def issue(
        self, lineage: str, *names: str, ago: Sequence[float] = (0,), server: str = SERVER
    ) -> list[Bundle]:
        """Make versions of a lineage for `names`, its own name by default, each issued so many days ago; return them."""
        now, made = self.clock(), []
        for days in ago:
            self.clock.at = now - timedelta(days=days)
            made.append(self.issuer.pair(*(names or (lineage,))))
            self.save(lineage, made[-1])
        self.clock.at = now
        self.configure(lineage, server=server)
        return made

    def save(self, lineage: str, bundle: Bundle) -> int:
        """Store `bundle` as the next version of a lineage, and make it the current one; return its number."""
        archive, live = self.path / "archive" / lineage, self.path / "live" / lineage
        for folder in (archive, live):
            folder.mkdir(exist_ok=True)
        number = 1 + len(list(archive.glob("cert*.pem")))
        texts = {
            "cert": bundle.certificate,
            "chain": bundle.chain,
            "fullchain": bundle.fullchain,
            "privkey": bundle.private_key,
        }
        for kind, text in texts.items():
            (archive / f"{kind}{number}.pem").write_text(text)
            link = live / f"{kind}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../archive/{lineage}/{kind}{number}.pem")
        return number

    def configure(self, lineage: str, *, server: str = SERVER, account: str = "") -> None:
        """Write the file from which certbot renews a lineage."""
        (self.path / "renewal" / f"{lineage}.conf").write_text(
            "# renew_before_expiry = 30 days\nversion = 5.8.0\n"
            f"archive_dir = {self.path}/archive/{lineage}\ncert = {self.path}/live/{lineage}/cert.pem\n\n"
            "# Options used in the renewal process\n[renewalparams]\n"
            f"account = {account}\nauthenticator = webroot\nserver = {server}\nkey_type = ecdsa\n"
            "[[webroot_map]]\n"
            f"{lineage} = /var/www/html\n"
        )

    def register(self, account: str, server: str = "ca.test/directory") -> Path:
        """Make an account at the CA; return its folder."""
        folder = self.path / "accounts" / server / account
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text(json.dumps({"creation_host": "web1"}))
        key = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "d": f"secret-{account}"}
        (folder / "private_key.json").write_text(json.dumps(key))
        (folder / "regr.json").write_text(json.dumps({"body": {}, "uri": f"https://ca.test/acct/{account}"}))
        return folder
