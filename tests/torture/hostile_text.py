"""Random hostile names, hostile texts, and the characters that no output may contain."""

# ruff: noqa: RUF001 - what looks like something else is the point

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from random import Random

_GOOD = "abcdefghijklmnopqrstuvwxyz0123456789"
# Letters of other scripts that look like ASCII, or that IDNA 2008 maps, joins, forbids or allows only in some contexts.
_STRANGE = "аеорсухіјѕԁɡαοнкʏßςıſﬀⅷ①ｅ̧̈·・ー゠٠۵०〇ªºÅΩ℀ℓ™ⓔ🤷🏽☃\u0640\u0660\u06f0\u05f3\u0375\u30fb"
# Characters that look like dots, hyphens and slashes.
_MARKS = "。．｡․‥…•∙⁄∕／＼﹨＿﹍‐‑‒–—−﹣－＠％＃？：；＝＋"
_CONTROLS = "\0\x01\x07\x08\t\n\v\f\r\x1b\x7f\x85\x9b\xa0\xad"
_INVISIBLE = (
    "\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069"
    "\u061c\u034f\u115f\u1160\u17b4\u180e\u3164\ufeff\ufe0f\uffa0\ufffe\uffff\U000e0001\U000e0041\U000e0100\ud800\udfff"
)
_SHELL = " '\"`;|&$(){}[]<>!*?~#%^\\/@:=,_+"
_PASTED = (
    "../../etc/passwd", "..", ".", "....", "%2e%2e%2f", "%2e%2e", "..%c0%af", "a/../b.example.com", "//example.com",
    "$(id).example.com", "`id`.example.com", ";id;.example.com", "|id", "-rf", "--config=/etc/passwd", "--help", "-",
    "--", "-x.example.com", "--x", "a --x.example.com", "https://example.com/", "http://example.com:80", "user@example.com",
    "example.com:443", "example.com/", "example.com?x", "example.com#x", "*.example.com", "*", "a.*.example.com",
    "127.0.0.1", "127.1", "0x7f000001", "0x7f.0.0.1", "2130706433", "017700000001", "[::1]", "::1", "::ffff:127.0.0.1",
    "1.2.3.4.in-addr.arpa", "localhost", "com", "co.uk", "github.io", "uk", "arpa", "ck", "foo.ck", "test", "example.com..",
    ".example.com", "a..example.com", "", " ", "\t", "example.com\r\nX: y", "example.com\0.evil.test", "example.com\n",
    "\x1b[31mexample.com", "\x1b]0;x\x07.example.com", "xn--.example.com", "xn--a.example.com", "xn--\x00.example.com",
    "xn--a-ecp.ru", "xn--xn---epa.example.com", "XN--BCHER-KVA.EXAMPLE.COM", "xn--bcher-KVA8445foa.example.com",
    "xn--example.com", "xn--0000h.example.com", "ab--cd.example.com", "a_b.example.com", "_acme-challenge.example.com",
    "exa mple.com", "example.com'--", "' OR 1=1--", "example.123", "example.1a", "example.com.\u200b", "=1+1", "@SUM(1)",
    "ｅｘａｍｐｌｅ.com", "example。com", "faß.de", "ﬁ.example.com", "\u0301a.example.com", "א.example.com", "aא.example.com",
    "\u202eelpmaxe.com", "a" * 64 + ".com", "a" * 63 + ".com", "é" * 63 + ".com", "\ud83d\ude00.example.com", "\udce9.example.com",
)  # fmt: skip


def name(random: Random) -> str:
    """Return a random name, valid or not."""
    return random.choice(_WAYS)(random)


def _label(random: Random) -> str:
    return "".join(random.choices(_GOOD, k=random.randint(1, 12)))


def _good(random: Random) -> str:
    labels = [_label(random) for _ in range(random.randint(1, 4))]
    return ".".join([*labels, random.choice(("com", "example", "test", "de", "co.uk", "xn--p1ai"))])


def _damaged(random: Random) -> str:
    """Insert strange characters into a valid name."""
    made = list(_good(random))
    for _ in range(random.randint(1, 3)):
        strange = random.choice((_STRANGE, _MARKS, _CONTROLS, _INVISIBLE, _SHELL, "-", ".", "--"))
        made.insert(random.randint(0, len(made)), random.choice(strange))
    return "".join(made)


def _long(random: Random) -> str:
    """Return a name near the length limit of a name or a label."""
    if random.random() < 0.3:
        return random.choice(("a", "é", "я", "9")) * random.randint(50, 1100) + ".com"
    labels: list[str] = []
    while len(".".join(labels)) < random.randint(240, 258):
        labels.append("b" * random.randint(1, 64))
    return ".".join(labels)[: random.randint(250, 256)].strip(".")


def _punycode(random: Random) -> str:
    """Return a label that is marked as punycode and mostly is not."""
    if random.random() < 0.5:
        return f"xn--{''.join(random.choices(_GOOD + '-', k=random.randint(0, 20)))}.example.com"
    word = "".join(random.choices(_STRANGE + "äöüéñжщ例え", k=random.randint(1, 6)))
    return f"xn--{word.encode('punycode', 'ignore').decode()}.example.com"


def _foreign(random: Random) -> str:
    """Return a name of letters of many scripts, or of any characters."""
    if random.random() < 0.5:
        begin = random.choice(
            (0xC0, 0x370, 0x400, 0x530, 0x590, 0x600, 0x900, 0xE00, 0x10A0, 0x3040, 0x4E00, 0xAC00)
        )
        word = "".join(chr(begin + random.randrange(120)) for _ in range(random.randint(1, 8)))
        return f"{word}.example.com"
    return "".join(chr(random.randrange(0x110000)) for _ in range(random.randint(1, 20)))


def _address(random: Random) -> str:
    parts = [random.choice((str, hex, oct))(random.randrange(256)) for _ in range(random.randint(1, 4))]
    return random.choice((".", ":")).join(parts)


def _pasted(random: Random) -> str:
    text = random.choice(_PASTED)
    return text if random.random() < 0.5 else text.replace("example", _label(random))


_WAYS: tuple[Callable[[Random], str], ...] = (
    _good,
    _damaged,
    _damaged,
    _long,
    _punycode,
    _foreign,
    _address,
    _pasted,
)

# Texts that C4, a CA, DNS or a certificate may send.
TEXTS = (
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1bPq\x1b\\", "\x9b31mc1\x85", "two\r\nlines: yes", "\rover",
    "\u202egnp.exe", "\u2066isolated\u2069", "zero\u200bwidth\u200d", "tag\U000e0041", "\ufeffmark", "nul\0byte",
    "line\u2028paragraph\u2029", "lone\ud800surrogate", "blank\u3164", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(A1)",
    "\t=1+1", "\r=1+1", "\n=1+1", "\ufeff=1+1", "=" * 5000, "%s%n{0}", "'; DROP TABLE domain;--", "</script>", "a" * 100_000,
    "\b\b\b\b\x7f", "\x1b[2J\x1b[H", "$(id)", "Ω≈ç√ plain words", "",
)  # fmt: skip


def find_control_character(text: str, allowed: str = "\n") -> str:
    """Return the code point of the first character of `text` that no output may have; empty if there is none.

    These are controls, escapes, bidirectional and other format characters, line and paragraph separators, and
    surrogates, by Unicode's category.
    """
    for character in text:
        if character not in allowed and unicodedata.category(character) in (
            "Cc",
            "Cf",
            "Cs",
            "Co",
            "Cn",
            "Zl",
            "Zp",
        ):
            return f"U+{ord(character):04X}"
    return ""
