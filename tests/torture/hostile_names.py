"""Hostile names are refused before any request, and hostile text from outside cannot affect the output.

Names are random (`hostile_text`). Accepted names are checked by independent rules from RFC 1123, 1035 and 5891, without
any code of `sslctl.rules.names`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import idna
from publicsuffixlist import PublicSuffixList

from sslctl.errors import BadInput, Exit
from sslctl.rules.names import normalise
from tests.support.cdn import Cdn, Result
from tests.support.fakes import Clock
from tests.torture.case import Case
from tests.torture.hostile_text import find_control_character
from tests.torture.hostile_text import name as hostile_name
from tests.torture.remote_text import from_every_source

TITLE = "Names and remote text"
TARGET = "0 wrongly accepted, 0 escape sequences, 0 requests"

_SEED = 20261123
_LONGEST_MESSAGE = 400
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
_SUFFIXES = PublicSuffixList(only_icann=True)


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Check many names, then pass some of them to the commands, then let C4, CA, DNS and certificates send hostile text."""
    accepted, refused = dict[str, str](), list[str]()
    yield _judged(2_000 if small else 100_000, accepted, refused)
    random = Random(_SEED)
    some = random.sample(refused, 15 if small else 400)
    with Cdn(_made(folder / "refused"), Clock()) as cdn:
        yield _given(cdn, some)
        yield _given_in_a_file(cdn, some)
        yield _given_to_processes(cdn, some[: 1 if small else 25])
    with Cdn(_made(folder / "accepted"), Clock()) as cdn:
        yield _taken(cdn, random.sample(list(accepted.items()), 10 if small else 200))
    yield from from_every_source(folder, small=small)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _judged(tries: int, accepted: dict[str, str], refused: list[str]) -> Case:
    """Put `tries` names into `accepted` (by the typed text) or `refused`."""
    found = list[str]()
    for number in range(tries):
        text = hostile_name(Random(_SEED + number))
        try:
            accepted[text] = normalise(text)
        except BadInput as error:
            refused.append(text)
            wrong = _wrong_message(error.message)
        except Exception as error:  # noqa: BLE001 - any other exception is a violation
            wrong = f"{type(error).__name__} instead of a refusal"
        else:
            wrong = _wrong(text, accepted[text])
        if wrong:
            found.append(f"seed {_SEED + number}: {ascii(text)[:100]}: {wrong}")
    return Case("fuzzed names", tries, found, f"{len(accepted):,} names accepted, {len(refused):,} refused")


def _wrong(text: str, name: str) -> str:
    """Return why `name` is a wrong result for `text`, by independent rules; empty if it is right."""
    labels = name.split(".")
    if not 4 <= len(name) <= 253 or len(labels) < 2:
        return "accepted at that length"
    if any(len(label) > 63 or not _LABEL.fullmatch(label) for label in labels):
        return f"accepted as {name}, which is no host name"
    if not labels[-1][0].isalpha() or labels[-1].isdigit():
        return f"accepted as {name}, which may be an address"
    if _SUFFIXES.is_public(name):
        return f"accepted, and {name} is a public suffix"
    if text.isascii() and name != text.lower().removesuffix("."):
        return f"accepted as {name}, which was not typed"
    if normalise(name) != name:
        return f"accepted as {name}, which normalises to something else"
    return next(filter(None, map(_wrong_label, labels)), "")


def _wrong_label(label: str) -> str:
    if label[2:4] != "--":
        return ""
    if not label.startswith("xn--"):
        return f"accepted with {label}, which RFC 5891 reserves"
    try:
        read = idna.ulabel(label)
        if (
            idna.alabel(read).decode() != label
            or read.isascii()
            or find_control_character(read, "\u200c\u200d")
        ):
            return f"accepted with {label}, which reads {read!a}"
    except idna.IDNAError as error:
        # CAs issue for labels that IDNA 2008 refuses, such as emoji: for these the encoding alone counts (RFC 3492).
        return "" if _is_whole_punycode(label) else f"accepted with {label}: {error}"
    return ""


def _is_whole_punycode(label: str) -> bool:
    try:
        read = label[4:].encode().decode("punycode")
        return read.encode("punycode").decode() == label[4:] and not find_control_character(
            read, "\u200c\u200d"
        )
    except UnicodeError:
        return False


def _wrong_message(message: str) -> str:
    if len(message) > _LONGEST_MESSAGE:
        return f"a message of {len(message)} characters"
    bad = find_control_character(message, "")
    return f"a message with {bad}" if bad else ""


# The commands


def _given(cdn: Cdn, texts: Sequence[str]) -> Case:
    """Pass refused names to each command."""
    found = list[str]()
    for number, text in enumerate(texts):
        command = (("add",), ("add", "--san=www.example.com"), ("recheck",), ("view",), ("delete", "--yes"))[
            number % 5
        ]
        result = cdn.sslctl(*command, "--", text)
        found += [f"{command[0]} {ascii(text)[:80]}: {what}" for what in _refusal(result)]
    san = cdn.sslctl("add", "shop.example.com", "--san", texts[0])
    found += [f"--san {ascii(texts[0])[:80]}: {what}" for what in _refusal(san)]
    return Case("refused names, to each command", len(texts), [*found, *_called(cdn)])


def _given_in_a_file(cdn: Cdn, texts: Sequence[str]) -> Case:
    """List refused names in a file, all together and one by one, also as bytes that are no text."""
    found, file = list[str](), cdn.folder / "names.txt"
    # Others may become good names, or none, when lines are read.
    lines = [each for each in texts if not re.search(r"[#\n \t,;]|^\s|\s$", each) and each.strip()]
    for content in ("\n".join(lines), *lines[:40]):
        file.write_bytes(content.encode(errors="surrogateescape" if _escapes(content) else "surrogatepass"))
        result = cdn.sslctl("add", "--from-file", str(file))
        found += [f"{ascii(content)[:80]}: {what}" for what in _refusal(result)]
    return Case("refused names, in a file", len(lines[:40]) + 1, [*found, *_called(cdn)])


def _escapes(text: str) -> bool:
    return all(
        not "\ud800" <= character <= "\udfff" or "\udc80" <= character <= "\udcff" for character in text
    )


def _given_to_processes(cdn: Cdn, texts: Sequence[str]) -> Case:
    """Pass refused names to real processes, as bytes."""
    found, tries = list[str](), 0
    program = [sys.executable, "-m", "sslctl", "--config", str(cdn.config_path), "add", "--"]
    for text in texts:
        argument = text.encode(errors="surrogatepass").replace(b"\0", b"")
        if not argument:
            continue
        tries += 1
        done = subprocess.run([*program, argument], capture_output=True, timeout=60, check=False)
        result = Result(done.returncode, done.stdout.decode("latin-1"), done.stderr.decode(errors="replace"))
        with suppress(BadInput):
            # Without its NUL it may have become a good name.
            normalise(argument.decode(errors="surrogateescape"))
            continue
        found += [f"{ascii(text)[:80]}: {what}" for what in _refusal(result)]
    return Case("refused names, to processes", tries, [*found, *_called(cdn)])


def _refusal(result: Result) -> Iterator[str]:
    """Yield what is wrong in a command's refusal of a name."""
    if result.exit_code != Exit.USAGE:
        yield f"I8: it ended with {result.exit_code}: {ascii(result.stderr)[:200]}"
    if result.stdout:
        yield "it wrote to standard output"
    lines = result.stderr.splitlines()
    # A list is refused with a line for each of the first 100 problems, and their number.
    if len(lines) > 102 or any(len(line) > 2100 for line in lines):
        yield f"its error has {len(lines)} lines, {len(result.stderr)} characters"
    bad = find_control_character(result.stderr)
    if bad:
        yield f"it wrote {bad}"


def _called(cdn: Cdn) -> Iterator[str]:
    """Yield the requests and records that there are although all names were refused."""
    if cdn.zone.queries or cdn.c4.requests or cdn.issuer.orders:
        yield f"requests: {cdn.zone.queries[:2]} {cdn.c4.requests[:2]} {cdn.issuer.orders[:2]}"
    if cdn.sslctl("list", "--json").json["domains"]:
        yield "something was recorded"


def _taken(cdn: Cdn, accepted: Sequence[tuple[str, str]]) -> Case:
    """Add accepted names: output and requests to C4 must use only their normalised form."""
    found = list[str]()
    for text, name in accepted:
        result = cdn.sslctl("add", "--", text)
        if result.exit_code != Exit.DISCARD or find_control_character(result.stdout + result.stderr):
            found.append(
                f"{ascii(text)[:80]}: it ended with {result.exit_code}: {ascii(result.stderr)[:200]}"
            )
        if not result.stdout.startswith(f"{name}: "):
            found.append(f"{ascii(text)[:80]}: the output does not begin with {name}")
    asked = {request.path for request in cdn.c4.requests}
    odd = asked - {f"/v1/domains/{name}" for _, name in accepted}
    found += [f"C4 was asked for {path}" for path in sorted(odd)]
    return Case("accepted names, to `add`", len(accepted), found)
