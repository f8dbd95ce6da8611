"""The formats of a download: which files are written, and which lines a web server needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sslctl.certificates import x509
from sslctl.errors import BadInput
from sslctl.rules.model import Bundle

PKCS12 = ("pkcs12", "pkcs12-legacy")
LEGACY_WARNING = (
    "the encryption of a legacy PKCS#12 file is weak (3DES and SHA-1): use it only for Windows Server 2016 and older, and delete "
    "the file once it is imported"
)

# Characters that mean nothing else to any of the servers inside double quotes. `$`, `%`, `{` and `\` begin variables or escapes.
_PLAIN_PATH = re.compile(r"[\w./@:+,=~ -]+")
_BARE_PATH = re.compile(r"[\w./@:+,=~-]+")


@dataclass(frozen=True, slots=True)
class Format:
    """A format: the content of each file by its name, and the lines for a web server from the paths of these files."""

    files: Callable[[Bundle, str], Mapping[str, str]]
    lines: Callable[[list[str]], list[str]] | None = None


def _four_files(bundle: Bundle, _name: str) -> Mapping[str, str]:
    return {
        "cert.pem": bundle.certificate,
        "chain.pem": bundle.chain,
        "fullchain.pem": bundle.fullchain,
        "privkey.pem": bundle.private_key,
    }


def _two_files(bundle: Bundle, _name: str) -> Mapping[str, str]:
    return {"fullchain.pem": bundle.fullchain, "privkey.pem": bundle.private_key}


def _one_file(bundle: Bundle, name: str) -> Mapping[str, str]:
    return {f"{name}.pem": bundle.private_key + bundle.fullchain}


PEM_FORMATS = {
    "pem": Format(_four_files),
    "combined": Format(_one_file),
    "nginx": Format(
        _two_files,
        lambda paths: [f"ssl_certificate {paths[0]};", f"ssl_certificate_key {paths[1]};"],
    ),
    "apache": Format(
        _two_files,
        lambda paths: [
            "SSLEngine on",
            f"SSLCertificateFile {paths[0]}",
            f"SSLCertificateKeyFile {paths[1]}",
        ],
    ),
    "haproxy": Format(_one_file, lambda paths: [f"bind :443 ssl crt {paths[0]}"]),
    "caddy": Format(_two_files, lambda paths: [f"tls {paths[0]} {paths[1]}"]),
}
FORMATS = ("pem", "combined", *PKCS12, "nginx", "apache", "haproxy", "caddy")


def make_files(kind: str, bundle: Bundle, name: str, password: bytes) -> dict[str, bytes]:
    """Return the files of the format `kind` for the domain `name`: their contents by their names.

    `password` is for PKCS#12 only. Raise `BadInput` for a password that cannot be used.
    """
    if kind in PKCS12:
        return {f"{name}.p12": x509.to_pkcs12(bundle, name, password, legacy=kind == "pkcs12-legacy")}
    files = PEM_FORMATS[kind].files(bundle, name)
    return {file: content.encode() for file, content in files.items()}


def make_lines(kind: str, folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Return the lines for the configuration of the web server `kind`, with absolute paths; none for other formats.

    Raise `BadInput` for a folder that cannot be written in such a line.
    """
    lines = None if kind in PKCS12 else PEM_FORMATS[kind].lines
    if lines is None:
        return []
    return lines([_quote(kind, folder.absolute() / file) for file in files])


def _quote(kind: str, path: Path) -> str:
    text = str(path)
    if not _PLAIN_PATH.fullmatch(text):
        raise BadInput(
            f"the path {path} has characters that the configuration of {kind} would read as something else",
            hint="choose another folder with -o, or use --format pem",
        )
    return text if _BARE_PATH.fullmatch(text) else f'"{text}"'
