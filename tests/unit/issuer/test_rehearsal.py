"""The order with which the fork server warms up: it comes as far as the certificate, and asks nobody."""

from __future__ import annotations

import subprocess
import sys

from tests.support import environment

# In a process of its own, since it replaces classes of acme.
SCRIPT = """
import sys
from sslctl.issuer.certbot import order, rehearsal
from sslctl.issuer.certbot.acme_client import Observer

def tell(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        print(event)

order.prepare()
sys.addaudithook(tell)
rehearsal.rehearse()
print(Observer.is_issued, len(Observer.nonces))
"""


def test_rehearsal_comes_as_far_as_the_certificate_without_a_network() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.split() == ["True", "1"]
