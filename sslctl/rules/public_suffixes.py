"""The public suffix list, by top-level domain: its library takes tens of milliseconds for all rules, and one name needs those of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_BEGIN_ICANN, _END_ICANN = "// ===BEGIN ICANN DOMAINS===", "// ===END ICANN DOMAINS==="


def suffixes_of(name: str, *, only_icann: bool) -> PublicSuffixList:
    """Return the rules for `name`, in lower-case A-labels; without private suffixes such as `github.io` if `only_icann`."""
    return _suffixes_below(name.rpartition(".")[2], only_icann=only_icann)


@cache
def _suffixes_below(top: str, *, only_icann: bool) -> PublicSuffixList:
    # Slow to import, and commands without a name do not need it.
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415

    icann, private = _rules()
    rules = [*icann.get(top, ()), *(() if only_icann else private.get(top, ()))]
    return PublicSuffixList("\n".join(rules))


@cache
def _rules() -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    """Return the ICANN's rules and the private ones, as they are in the list, by the A-label that each ends with."""
    from publicsuffixlist import PSLFILE  # noqa: PLC0415

    icann, private = dict[str, list[str]](), dict[str, list[str]]()
    section = private
    for line in Path(PSLFILE).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("//"):
            # A rule ends at the first white space.
            top = line.split(None, 1)[0].rpartition(".")[2].lower()
            section.setdefault(top if top.isascii() else top.encode("idna").decode(), []).append(line)
        elif line.startswith("// ==="):
            section = (
                icann
                if line.rstrip() == _BEGIN_ICANN
                else private
                if line.rstrip() == _END_ICANN
                else section
            )
    return icann, private
