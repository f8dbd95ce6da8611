"""Private keys at rest: encrypted with a key outside the database (`cryptography.fernet.MultiFernet`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sslctl.errors import Busy, StateError
from sslctl.system.files import publish, read_regular
from sslctl.system.ownership import find_intruder
from sslctl.text import decode_text

_OTHERS = 0o077
# systemd grants the service's user access to a credential by an access list, which shows as rights of the group.
_OTHERS_OF_CREDENTIAL = 0o007
_LARGEST = 1 << 20
_PUT_BACK = "restore the key file that was in use when the database was written"
_MAKE = "`openssl rand -base64 32 | tr +/ -_` makes one"


class Keyring:
    """Encrypts and decrypts private keys. The key file holds one Fernet key a line; the first one encrypts.

    If the file is inside `credentials`, systemd provides it (`LoadCredential=`, systemd.exec(5)): it is read and never
    written.

    The file may change while the process runs (`sslctl keys rotate`). So it is read before each encryption, and again if no
    key that was ever in it decrypts a value. Keys that left the file still decrypt what was read before.
    """

    def __init__(self, path: Path, *, credentials: Path | None = None) -> None:
        self._path = path
        self._is_credential = credentials is not None and _is_within(path, credentials)
        self._held: dict[bytes, Fernet] = {}

    @property
    def path(self) -> Path:
        """The path of the key file, whether it exists or not."""
        return self._path

    @property
    def exists(self) -> bool:
        """Whether the key file exists. Raise `StateError` if its folder cannot be searched."""
        try:
            return self._path.exists()
        except OSError as error:
            raise self._unreadable(error) from error

    @property
    def is_writable(self) -> bool:
        """Whether sslctl may change the key file."""
        return not self._is_credential and os.access(self._real_path.parent, os.W_OK | os.X_OK)

    @property
    def _real_path(self) -> Path:
        # If the file is a symbolic link, its target is changed, not the link.
        return Path(os.path.realpath(self._path))

    def make(self) -> None:
        """Create the key file, mode 0600, atomically and durably. Raise `StateError` if that fails."""
        if self._is_credential:
            raise StateError(
                f"the credential {self._path} is missing, and sslctl does not create it",
                hint=f"write a key into the file that LoadCredential= names: {_MAKE}",
            )
        # One fixed name: the next run removes what a power cut left there.
        temporary = self._path.with_name(f".{self._path.name}.new")
        try:
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            _write_through(descriptor, [Fernet.generate_key()])
            publish(temporary, self._path, force=False)
        except OSError as error:
            raise StateError(f"cannot make the key file {self._path}: {error.strerror}") from error

    def encrypt(self, text: str) -> bytes:
        """Encrypt `text`, inside the transaction that stores it (`Rotation` says why)."""
        return Fernet(self.read()[0]).encrypt(text.encode())

    def decrypt(self, token: bytes) -> str:
        """Decrypt what `encrypt` returned. Raise `StateError` if no key of the file decrypts it."""
        if not self._held:
            self.load()
        for look_again in (self.load, self._fail):
            try:
                return MultiFernet(list(self._held.values())).decrypt(token).decode()
            except InvalidToken:
                look_again()
        raise AssertionError

    def load(self) -> None:
        """Read the keys in the file, in addition to those that were read before.

        After it, every encrypted value that is then read can be decrypted, however far a rotation is.
        """
        self._held = {key: Fernet(key) for key in dict.fromkeys((*self.read(), *self._held))}

    def read(self) -> list[bytes]:
        """Return the keys of the file, at least one. Raise `StateError` if it cannot be read or trusted."""
        try:
            content, state = read_regular(self._path, _LARGEST)
            # Other users may have read it already, so the mode is not silently corrected.
            if state.st_mode & (_OTHERS_OF_CREDENTIAL if self._is_credential else _OTHERS):
                raise StateError(
                    f"the key file {self._path} can be read by other users",
                    hint=f"run chmod 600 {self._path}, and treat the keys in it as known to them",
                )
            self._require_trusted()
            keys = list(dict.fromkeys(decode_text(content).encode().split()))
            # Every key is checked, the first one included.
            MultiFernet([Fernet(key) for key in keys])
        except FileNotFoundError as error:
            raise StateError(
                f"the key file {self._path} is missing, and without it no private key can be read",
                hint="restore it from its backup, or set state.key_file",
            ) from error
        except OSError as error:
            raise self._unreadable(error) from error
        except ValueError as error:
            raise StateError(
                f"the key file {self._path} does not hold Fernet keys", hint=_PUT_BACK
            ) from error
        return keys

    def _require_trusted(self) -> None:
        """Raise `StateError` if another user can replace the key file: they would know the keys of what is stored from then on."""
        intruder = find_intruder(self._path)
        if intruder is not None:
            raise StateError(
                f"the key file {self._path} is not used: {intruder.problem}",
                hint=f"make sure that nobody changed it, then: {intruder.cure}",
            )

    def replace(self, before: Sequence[bytes], keys: Sequence[bytes]) -> None:
        """Replace the keys `before` in the file by `keys`, atomically.

        Raise `Busy` if the file does not hold `before`, and `StateError` if it cannot be written. It is unchanged then.
        """
        if self.read() != list(before):
            raise Busy(
                f"the key file {self._path} was changed by another process meanwhile", hint="examine it"
            )
        place = self._real_path
        # One fixed name: the next run removes what a killed one left there.
        temporary = place.with_name(f".{place.name}.new")
        try:
            owner = place.stat()
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            # root may run this for the user who owns the file.
            _write_through(descriptor, keys, owner)
            publish(temporary, place, force=True)
        except OSError as error:
            raise StateError(f"cannot change the key file {self._path}: {error.strerror}") from error

    def _fail(self) -> None:
        raise StateError(f"the key file {self._path} does not decrypt this database", hint=_PUT_BACK)

    def _unreadable(self, error: OSError) -> StateError:
        return StateError(
            f"cannot read the key file {self._path}: {error.strerror}",
            hint="run sslctl as the user who owns it",
        )


class Rotation:
    """A key rotation, in steps that each leave a file that decrypts everything.

    1. The new key is written in front of the old ones.
    2. Every secret is re-encrypted with it.
    3. The old keys are dropped.

    If the file holds several keys at the start, an earlier rotation was killed or someone rotates by hand: the first key
    is the new one.

    Other processes may work in the meantime. They encrypt inside a writing transaction, and read the file there. Between 1 and 2
    the store waits for those that have begun (`Serial.ENCRYPTION`). So such a transaction either ended before the first one that
    re-encrypts began, which then sees its work, or it encrypts with the new key.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        keys = keyring.read()
        self.goes_on = len(keys) > 1
        if not self.goes_on:
            if not keyring.is_writable:
                raise StateError(
                    f"the key file {keyring.path} must not be changed by sslctl",
                    hint=f"insert a new key as its first line by hand, before the old one ({_MAKE}), then run this again",
                )
            before, keys = keys, [Fernet.generate_key(), *keys]
            keyring.replace(before, keys)
        self._keys = keys
        self._first, self._all = Fernet(keys[0]), MultiFernet([Fernet(key) for key in keys])

    def rewrap(self, token: bytes, what: str) -> bytes | None:
        """Return `token` re-encrypted with the new key; None if it is already.

        Raise `StateError`, naming `what`, if no key decrypts it.
        """
        try:
            self._first.decrypt(token)
        except InvalidToken:
            try:
                return self._all.rotate(token)
            except InvalidToken as error:
                raise StateError(
                    f"no key of {self._keyring.path} decrypts {what}, so no key was dropped", hint=_PUT_BACK
                ) from error
        return None

    def end(self) -> int:
        """Drop the old keys. Return how many remain, in a file that sslctl may not write."""
        if not self._keyring.is_writable:
            return len(self._keys) - 1
        self._keyring.replace(self._keys, self._keys[:1])
        return 0


def _is_within(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _write_through(descriptor: int, keys: Sequence[bytes], owner: os.stat_result | None = None) -> None:
    with os.fdopen(descriptor, "wb") as file:
        if owner is not None:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(b"".join(key + b"\n" for key in keys))
        file.flush()
        os.fsync(descriptor)
