"""Fakes of the interfaces. Each passes the same contract tests as the real implementation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sslctl.certificates.x509 import make_csr, make_key, read_leaf
from sslctl.issuer import Issued, IssueError, OrderPending, RenewalWindow, RenewalWindows
from sslctl.notify import Message, Undelivered
from sslctl.rules.model import Bundle, Order
from sslctl.rules.reasons import Code
from sslctl.rules.revocation import RevocationReason

START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)  # noon in Singapore


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def __call__(self) -> datetime:
        """Return the time."""
        return self.at

    def move(self, **length: float) -> None:
        """Move forward by `length`, the arguments of `timedelta`."""
        self.at += timedelta(**length)


class FakeIssuer:
    """A CA in memory.

    `refusals` are raised one a call, `orders` lists the names of every order placed, `replaced` what each said that it
    replaces, and the orders whose URLs are in `pending` wait for their challenges. It has ARI where `suggested` gives a
    suggestion for every certificate by its id; `asked` lists the ids that it was asked about. `served` has the files that it serves
    for probes by token, `probes` counts them. `expectations` counts the calls of
    `expect_orders`. `chain` is its root.
    """

    def __init__(self, clock: Callable[[], datetime], lifetime: timedelta = timedelta(days=90)) -> None:
        self.clock = clock
        self.lifetime = lifetime
        self.refusals: list[IssueError] = []
        self.orders: list[tuple[str, ...]] = []
        self.revoked: list[str] = []
        self.revoked_for: list[RevocationReason | None] = []
        self.issued: dict[str, Issued] = {}
        self.replaced: list[str] = []
        self.pending: set[str | None] = set()
        self.suggested: Callable[[str], RenewalWindow | None] | None = None
        self.asked: list[str] = []
        self.served: dict[str, str] = {}
        self.probes = self.expectations = 0
        self._numbers = count(1)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fake CA")])
        self.chain = self._make_chain()

    def expect_orders(self) -> None:
        """See `Issuer.expect_orders`. It is counted."""
        self.expectations += 1

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """See `Issuer.issue`."""
        self.replaced.append(replaces)
        url = order.url
        if url is None:
            self.orders.append(order.names)
            url = self.new_url()
            on_url(url)
        if self.refusals:
            raise self.refusals.pop(0)
        self.issued[url] = Issued(self._sign(order), self.chain)
        return self.issued[url]

    def new_url(self) -> str:
        """Return the URL of a new order. No two are equal, also if two threads order at the same time."""
        return f"https://ca.test/order/{next(self._numbers)}"

    def pair(self, *names: str) -> Bundle:
        """Return a new pair for `names` from this CA."""
        key = make_key("ecdsa")
        issued = self.issue(Order(0, 0, names, make_csr(key, names), self.clock()), lambda _url: None)
        return Bundle(issued.certificate, issued.chain, key)

    def collect(self, order: Order) -> Issued | None:
        """See `Issuer.collect`."""
        if self.refusals:
            raise self.refusals.pop(0)
        if order.url in self.pending:
            raise OrderPending
        return self.issued.get(order.url or "")

    def may_be_issued(self, order: Order) -> bool:
        """See `Issuer.may_be_issued`."""
        return order.url in self.issued

    def forget(self, order: Order) -> None:
        """See `Issuer.forget`."""

    def revoke(self, bundle: Bundle, reason: RevocationReason | None = None) -> None:
        """See `Issuer.revoke`."""
        if all(bundle.certificate != issued.certificate for issued in self.issued.values()):
            raise IssueError(Code.CA_REFUSED, "unauthorized: not ours")
        self.revoked.append(bundle.certificate)
        self.revoked_for.append(reason)

    def renewal_infos(self, ids: Sequence[str], seconds: float) -> RenewalWindows | None:
        """See `Issuer.renewal_infos`."""
        assert seconds > 0
        if self.suggested is None:
            return None
        self.asked += ids
        return RenewalWindows({each: self.suggested(each) for each in ids})

    def register(self, *, only_known: bool = False) -> None:
        """See `Issuer.register`."""

    @contextmanager
    def published(self, token: str) -> Iterator[str]:
        """See `Issuer.published`: `served` has the content."""
        self.served[token] = f"{token}.content"
        self.probes += 1
        try:
            yield self.served[token]
        finally:
            del self.served[token]

    def close(self) -> None:
        """See `Issuer.close`."""

    def serials(self) -> list[str]:
        """Return the serial numbers of all certificates that it issued, in lower-case hexadecimal."""
        return [read_leaf(issued.certificate).serial for issued in self.issued.values()]

    def orders_by_name(self) -> Counter[str]:
        """Return how many orders were placed, by their first name."""
        return Counter(names[0] for names in self.orders)

    def _sign(self, order: Order) -> str:
        csr = x509.load_pem_x509_csr(order.csr_pem.encode())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(csr.subject)
            .issuer_name(self._name)
            .public_key(csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.clock())
            .not_valid_after(self.clock() + self.lifetime)
            .add_extension(
                csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value, critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _make_chain(self) -> str:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(START - timedelta(days=365))
            .not_valid_after(START + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


class FullDiskIssuer(FakeIssuer):
    """A CA whose challenges cannot be served, because the disk is full."""

    @contextmanager
    def published(self, token: str) -> Iterator[str]:  # noqa: ARG002
        """See `Issuer.published`."""
        raise IssueError(Code.ISSUER_FAILED, "No space left on device")
        yield


class FakeNotifier:
    """People in memory: `sent` has each message with the positions it went to. Those in `deaf` get none."""

    def __init__(self, *schemes: str) -> None:
        self.schemes = schemes
        self.deaf: set[int] = set()
        self.sent: list[tuple[Message, tuple[int, ...]]] = []

    def send(self, message: Message, positions: Collection[int]) -> list[Undelivered]:
        """See `Notifier.send`."""
        to = tuple(number for number in range(1, len(self.schemes) + 1) if number in positions)
        if to:
            self.sent.append((message, to))
        return [
            Undelivered(number, self.schemes[number - 1], "could not be reached, or refused the message")
            for number in to
            if number in self.deaf
        ]
