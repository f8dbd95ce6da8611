"""Downloaded files as the one file that a response can have."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

_PRIVATE_FILE = 0o100600 << 16
"""The mode of the file in a ZIP archive (PKWARE APPNOTE, section 4.4.15, as Info-ZIP uses it on Unix)."""


class Attachment(NamedTuple):
    """A file that a browser stores under `name`."""

    name: str
    media_type: str
    content: bytes


def attach(name: str, files: Mapping[str, bytes], now: datetime) -> Attachment:
    """Return `files` (content by path) as one file: as it is if there is one, otherwise the archive `name`.zip.

    In the archive the files have the mode 0600, and `now` as their time, in its own time zone.
    """
    if len(files) == 1:
        [(path, content)] = files.items()
        kind = "application/x-pkcs12" if path.endswith(".p12") else "application/x-pem-file"
        return Attachment(path.rpartition("/")[2], kind, content)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, now.timetuple()[:6])
            entry.external_attr = _PRIVATE_FILE
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return Attachment(f"{name}.zip", "application/zip", buffer.getvalue())
