"""Private keys at rest: sealed with a key that lives outside the database (`cryptography.fernet.MultiFernet`)."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sslctl.errors import StateError
from sslctl.files import publish, read_regular

_OTHERS = 0o077
_LARGEST = 1 << 20
_PUT_BACK = "put back the key file that was in use when the database was written"


class Keyring:
    """Seals and opens private keys. The key file holds one Fernet key a line; the first one seals."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fernet: MultiFernet | None = None

    @property
    def exists(self) -> bool:
        """Say whether the key file is there. Raises `StateError` where its folder cannot be searched."""
        try:
            return self._path.exists()
        except OSError as error:
            raise self._unreadable(error) from error

    def make(self) -> None:
        """Make the key file, mode 0600, whole or not at all, and on the disk for good. Raises `StateError`."""
        # One fixed name: what a power cut left there is taken away by the next run.
        temporary = self._path.with_name(f".{self._path.name}.new")
        try:
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(Fernet.generate_key() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            publish(temporary, self._path, force=False)
        except OSError as error:
            raise StateError(f"cannot make the key file {self._path}: {error.strerror}") from error

    def seal(self, text: str) -> bytes:
        """Encrypt `text`."""
        return self._load().encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """Decrypt what `seal` gave. Raises `StateError` when no key of the file opens it."""
        try:
            return self._load().decrypt(sealed).decode()
        except InvalidToken as error:
            raise StateError(
                f"the key file {self._path} does not open this database",
                hint=_PUT_BACK,
            ) from error

    def _load(self) -> MultiFernet:
        if self._fernet is None:
            self._fernet = self._read()
        return self._fernet

    def _read(self) -> MultiFernet:
        try:
            content, state = read_regular(self._path, _LARGEST)
            # What is world-readable may have been read: it is not quietly put right.
            if state.st_mode & _OTHERS:
                raise StateError(
                    f"the key file {self._path} can be read by other users",
                    hint=f"chmod 600 {self._path}, and consider what was readable as known to them",
                )
            return MultiFernet([Fernet(line) for line in content.split()])
        except FileNotFoundError as error:
            raise StateError(
                f"the key file {self._path} is missing, and without it no private key can be read",
                hint="put it back from its backup, or name it in state.key_file",
            ) from error
        except OSError as error:
            raise self._unreadable(error) from error
        except ValueError as error:
            raise StateError(
                f"the key file {self._path} does not hold Fernet keys", hint=_PUT_BACK
            ) from error

    def _unreadable(self, error: OSError) -> StateError:
        return StateError(
            f"cannot read the key file {self._path}: {error.strerror}",
            hint="run sslctl as the user who owns it",
        )
