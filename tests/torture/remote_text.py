"""Hostile text from C4, the CA, DNS and text certificates: no command may print control characters or formulas."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import trustme
from cryptography import x509

from sslctl.certificates.x509 import make_csr, make_key
from sslctl.issuer import RenewalWindow
from sslctl.issuer.certbot import ari, problems
from sslctl.rules.model import Bundle, Order
from sslctl.sandbox.c4.faults import Operation
from sslctl.text import instant
from tests.support.cdn import Cdn
from tests.support.fakes import START, Clock, FakeIssuer
from tests.support.misbehaving import answering
from tests.torture.c4_proxy import C4Proxy, Fault
from tests.torture.case import Case
from tests.torture.hostile_text import TEXTS, find_control_character

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r")
_LONGEST_SECONDS = 15
_NUMBER = re.compile(r"-?[0-9]+")
_ESCAPED = re.compile(r"\\u(00[01]|007f|00[89]|20[26][0-9a-e]|feff|d[89a-f])", re.IGNORECASE)
_HEADER = re.compile("[\\x00\\r\\n]")


def from_every_source(folder: Path, *, small: bool) -> Iterator[Case]:
    """Let each source send each of `TEXTS`, and check the output of every command."""
    texts = TEXTS[::16] if small else TEXTS
    for number, (who, say) in enumerate(_SOURCES.items()):
        found = list[str]()
        with _source_cdn(folder / f"source-{number}") as (cdn, proxy):
            for index, text in enumerate(texts):
                name = f"t{index}.hostile.test"
                cdn.add_domain(name)
                found += [f"{ascii(text)[:60]}: {what}" for what in say(cdn, proxy, name, text) or ()]
                found += [f"{ascii(text)[:60]}: {what}" for what in _shown(cdn, *_of_one(name))]
                found += [f"{ascii(text)[:60]}: {what}" for what in _formulas(cdn)]
                proxy.heal()
            found += _shown(cdn, *_OF_ALL)
        yield Case(f"hostile text from {who}", len(texts), found)


@contextmanager
def _source_cdn(folder: Path) -> Iterator[tuple[Cdn, C4Proxy]]:
    folder.mkdir()
    authority = trustme.CA()
    with Cdn(folder, Clock(), authority=authority) as cdn, C4Proxy(cdn.c4.url, authority) as proxy:
        cdn.config_path.write_text(cdn.config_path.read_text().replace(cdn.c4.url, proxy.url))
        yield cdn, proxy


def _of_one(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the commands that print the domain `name` and its latest events."""
    return (
        ("view", name),
        ("view", name, "--json"),
        ("daemon-tick",),
        ("recheck", name),
        ("recheck", name, "--json"),
    )


_OF_ALL = (
    ("list",), ("list", "--json"), ("list", "--sort", "status"), ("daemon-tick", "--dry-run", "--force"),
    ("daemon-tick", "--dry-run", "--force", "--json"), ("daemon-tick", "--force", "--json"), ("forecast",),
)  # fmt: skip


def _shown(cdn: Cdn, *commands: tuple[str, ...]) -> Iterator[str]:
    """Run `commands`; yield what their output must not contain, and which took too long."""
    for command in commands:
        began = time.monotonic()
        result = cdn.sslctl(*command)
        seconds = time.monotonic() - began
        if seconds > _LONGEST_SECONDS:
            yield f"`{' '.join(command)}` took {seconds:.0f} s"
        command_line = f"`{' '.join(command)}`"
        bad = find_control_character(result.stdout + result.stderr)
        if bad:
            yield f"{command_line} prints {bad}"
        if result.exit_code in (1, 2) or len(result.stderr) > 20_000:
            yield f"{command_line} ended with {result.exit_code}: {ascii(result.stderr)[:200]}"
        # Nor may JSON contain it as an escape.
        escaped = _ESCAPED.search(result.stdout)
        if escaped:
            yield f"{command_line} prints {escaped[0]}"


def _formulas(cdn: Cdn) -> Iterator[str]:
    """Yield the cells of `list --csv` that a spreadsheet would execute."""
    table = cdn.sslctl("list", "--csv").stdout
    bad = find_control_character(table, "\r\n")
    if bad:
        yield f"`list --csv` prints {bad}"
    cells = [cell for row in csv.reader(io.StringIO(table, newline="")) for cell in row]
    yield from (
        f"a cell of `list --csv` begins a formula: {cell[:40]}"
        for cell in cells
        if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell)
    )


# Sources


def _c4_at_lookup(cdn: Cdn, proxy: C4Proxy, name: str, text: str) -> None:
    proxy.inject(Operation.LOOKUP, _problem(500, text))
    cdn.sslctl("add", name)


def _c4_at_upload(cdn: Cdn, proxy: C4Proxy, name: str, text: str) -> None:
    proxy.inject(Operation.UPLOAD, _problem(422, text))
    cdn.sslctl("add", name)


def _c4_in_a_record(cdn: Cdn, proxy: C4Proxy, name: str, text: str) -> None:
    record = {"domain": name, "cname_target": text, "ports": [80, 443, text], "certificate": {"state": text}}
    proxy.inject(
        Operation.LOOKUP, lambda _: answering(200, record, f"X-Header: {_HEADER.sub('', text)[:500]}\r\n")
    )
    cdn.sslctl("add", name)


def _problem(status: int, text: str) -> Fault:
    body = {"title": text, "status": status, "code": text, "detail": text, "type": text, "instance": text}
    retry = _HEADER.sub("", text)[:500].encode(errors="replace").decode()
    return lambda _: answering(status, body, f"Retry-After: {retry}\r\n")


def _ca_error(cdn: Cdn, _: C4Proxy, name: str, text: str) -> None:
    failure = {"failed": "acme", "type": text, "detail": text, "retry_after": text, "problems": []}
    cdn.issuer.refusals.append(problems.to_issue_error(failure, START, order_placed=True))
    cdn.sslctl("add", name)
    cdn.issuer.refusals.clear()


def _ca_pause(cdn: Cdn, _: C4Proxy, name: str, text: str) -> None:
    kind = "urn:ietf:params:acme:error:rateLimited"
    failure = {"failed": "acme", "type": kind, "detail": text, "retry_after": "60", "problems": []}
    cdn.issuer.refusals.append(problems.to_issue_error(failure, cdn.clock(), order_placed=True))
    cdn.sslctl("add", name)
    cdn.issuer.refusals.clear()


def _ca_challenge(cdn: Cdn, _: C4Proxy, name: str, text: str) -> None:
    problem = {"name": text, "type": text, "detail": text}
    failure = {"failed": "authorization", "detail": text, "problems": [problem, problem]}
    cdn.issuer.refusals.append(problems.to_issue_error(failure, START, order_placed=True))
    cdn.sslctl("add", name)


def _ca_explanation(cdn: Cdn, _: C4Proxy, name: str, text: str) -> Iterator[str]:
    start, end = instant(cdn.clock() - timedelta(days=2)), instant(cdn.clock() - timedelta(days=1))
    for url in (text, f"https://ca.test/{text}"):
        raw = {"start": start, "end": end, "explanation_url": url, "retry_after": text}
        trouble = {"detail": text, "retry_after": text}
        read = ari.read({"answers": {"id": raw}, "unanswered": [], "trouble": trouble}, START)
        assert read is not None
        if find_control_character(read.trouble, ""):
            yield "an ARI error is not sanitised"
        suggestion: RenewalWindow | None = read.by_id["id"]
        cdn.issuer.suggested = lambda _id, window=suggestion: window
        cdn.sslctl("add", name)
        for command in (("daemon-tick",), ("daemon-tick", "--json")):
            result = cdn.sslctl(*command)
            bad = find_control_character(result.stdout + result.stderr)
            if bad:
                yield f"the tick prints {bad}"
    cdn.issuer.suggested = lambda _id: None


def _dns_cname(cdn: Cdn, _: C4Proxy, name: str, text: str) -> None:
    cdn.clear_dns(name)
    cdn.zone.add(name, "CNAME", f"{_escaped(text, 60)}.example.")
    cdn.sslctl("add", name)


def _dns_caa(cdn: Cdn, _: C4Proxy, name: str, text: str) -> None:
    cdn.zone.add(f"{name}.cdn.test", "CAA", f'0 issue "{_escaped(text, 200)}"')
    cdn.zone.add(f"{name}.cdn.test", "TXT", f'"{_escaped(text, 200)}"')
    cdn.sslctl("add", name)


def _escaped(text: str, most: int) -> str:
    """Return `text` in zone file form, each byte as a decimal escape."""
    return "".join(f"\\{byte:03}" for byte in text.encode(errors="surrogatepass")[:most]) or "x"


def _certificate(cdn: Cdn, _: C4Proxy, name: str, text: str) -> None:
    """Add a text certificate whose issuer and additional names are hostile."""
    issuer = FakeIssuer(cdn.clock, timedelta(days=60))
    word = text.encode(errors="replace").decode()[:60] or "x"
    issuer._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, word)])
    key = make_key("ecdsa")
    names = (name, f"{word}.{name}" if word.isascii() else f"www.{name}")
    order = Order(0, 0, names, make_csr(key, names), cdn.clock())
    issued = issuer.issue(order, lambda _url: None)
    pasted = cdn.paste(Bundle(issued.certificate, issued.chain, key))
    if cdn.sslctl("add", name, *pasted).exit_code == 2:
        cdn.sslctl("add", name)


_SOURCES = {
    "C4, at a lookup": _c4_at_lookup,
    "C4, at an upload": _c4_at_upload,
    "C4, in a record": _c4_in_a_record,
    "the CA, as a refusal": _ca_error,
    "the CA, as a pause": _ca_pause,
    "the CA, of a challenge": _ca_challenge,
    "the CA, why a renewal is early": _ca_explanation,
    "DNS, in a CNAME": _dns_cname,
    "DNS, in CAA and TXT": _dns_caa,
    "a pasted certificate": _certificate,
}
