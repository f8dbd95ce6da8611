"""Private keys at rest: sealed with a key that lives outside the database (`cryptography.fernet.MultiFernet`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sslctl.errors import Busy, StateError
from sslctl.system.files import publish, read_regular

_OTHERS = 0o077
# systemd gives a credential to the service's user by an access list, which shows as rights of the group.
_OTHERS_OF_CREDENTIAL = 0o007
_LARGEST = 1 << 20
_PUT_BACK = "put back the key file that was in use when the database was written"
_MAKE = "`openssl rand -base64 32 | tr +/ -_` makes one"


class Keyring:
    """Seals and opens private keys. The key file holds one Fernet key a line; the first one seals.

    Where the file lies inside `credentials`, systemd put it there (`LoadCredential=`, systemd.exec(5)): it is read and
    never written.

    The file may change while this runs (`sslctl keys rotate`). So it is read anew before each sealing, and when no key
    that was ever seen in it opens something. Keys that went out of it meanwhile still open what was read before.
    """

    def __init__(self, path: Path, *, credentials: Path | None = None) -> None:
        self._path = path
        self._is_credential = credentials is not None and _is_within(path, credentials)
        self._held: dict[bytes, Fernet] = {}

    @property
    def path(self) -> Path:
        """Where the key file is, or belongs."""
        return self._path

    @property
    def exists(self) -> bool:
        """Say whether the key file is there. Raises `StateError` where its folder cannot be searched."""
        try:
            return self._path.exists()
        except OSError as error:
            raise self._unreadable(error) from error

    @property
    def is_writable(self) -> bool:
        """Say whether the key file is sslctl's to change."""
        return not self._is_credential and os.access(self._real_path.parent, os.W_OK | os.X_OK)

    @property
    def _real_path(self) -> Path:
        # What the file's name may be a link to is changed, not the link.
        return Path(os.path.realpath(self._path))

    def make(self) -> None:
        """Make the key file, mode 0600, whole or not at all, and on the disk for good. Raises `StateError`."""
        if self._is_credential:
            raise StateError(
                f"the credential {self._path} is missing, and sslctl does not make it",
                hint=f"write a key into the file that LoadCredential= names: {_MAKE}",
            )
        # One fixed name: what a power cut left there is taken away by the next run.
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

    def decrypt(self, sealed: bytes) -> str:
        """Decrypt what `seal` gave. Raises `StateError` when no key of the file opens it."""
        if not self._held:
            self.load()
        for look_again in (self.load, self._fail):
            try:
                return MultiFernet(list(self._held.values())).decrypt(sealed).decode()
            except InvalidToken:
                look_again()
        raise AssertionError

    def load(self) -> None:
        """Take in what the file holds.

        Who does so before it reads a sealed value always has the key for that, however far a rotation is.
        """
        self._held = {key: Fernet(key) for key in dict.fromkeys((*self.read(), *self._held))}

    def read(self) -> list[bytes]:
        """Give the keys of the file, at least one. Raises `StateError` where it cannot be read or trusted."""
        try:
            content, state = read_regular(self._path, _LARGEST)
            # What others can read they may have read: it is not quietly put right.
            if state.st_mode & (_OTHERS_OF_CREDENTIAL if self._is_credential else _OTHERS):
                raise StateError(
                    f"the key file {self._path} can be read by other users",
                    hint=f"chmod 600 {self._path}, and consider what was readable as known to them",
                )
            keys = list(dict.fromkeys(content.split()))
            # Each is looked at, the first one included.
            MultiFernet([Fernet(key) for key in keys])
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
        return keys

    def replace(self, before: Sequence[bytes], keys: Sequence[bytes]) -> None:
        """Have the file hold `keys`, all at once, where it holds the keys `before`.

        Raises `Busy` where it does not, and `StateError` where it cannot be written; then it is as it was.
        """
        if self.read() != list(before):
            raise Busy(f"the key file {self._path} was changed by somebody else meanwhile", hint="look at it")
        place = self._real_path
        # One fixed name: what a run that was killed left there is taken away by the next one.
        temporary = place.with_name(f".{place.name}.new")
        try:
            owner = place.stat()
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            # root may do this for the user whose file it is.
            _write_through(descriptor, keys, owner)
            publish(temporary, place, force=True)
        except OSError as error:
            raise StateError(f"cannot change the key file {self._path}: {error.strerror}") from error

    def _fail(self) -> None:
        raise StateError(f"the key file {self._path} does not open this database", hint=_PUT_BACK)

    def _unreadable(self, error: OSError) -> StateError:
        return StateError(
            f"cannot read the key file {self._path}: {error.strerror}",
            hint="run sslctl as the user who owns it",
        )


class Rotation:
    """The way from old keys to a new one, in steps that each leave a file that opens everything.

    The new key is written in front of the old ones; all that is sealed is sealed with it; then the old ones are dropped.
    Where the file holds several keys at the start, that is the rest of a rotation which was killed, or of one by hand:
    its first key is the new one.

    Nobody is kept from working meanwhile. Whoever seals does so inside a transaction that writes, and reads the file
    there. Such a transaction either ended before the first one that rewraps began, and is seen by it, or it began after
    the new key was in the file, and seals with that.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        keys = keyring.read()
        self.goes_on = len(keys) > 1
        if not self.goes_on:
            if not keyring.is_writable:
                raise StateError(
                    f"the key file {keyring.path} is not sslctl's to write",
                    hint=f"put a new key on its first line by hand, the old one behind it ({_MAKE}), then run this again",
                )
            before, keys = keys, [Fernet.generate_key(), *keys]
            keyring.replace(before, keys)
        self._keys = keys
        self._first, self._all = Fernet(keys[0]), MultiFernet([Fernet(key) for key in keys])

    def rewrap(self, sealed: bytes, what: str) -> bytes | None:
        """Give `sealed` as the new key seals it, None where it did so already.

        Raises `StateError`, naming `what`, when no key opens it.
        """
        try:
            self._first.decrypt(sealed)
        except InvalidToken:
            try:
                return self._all.rotate(sealed)
            except InvalidToken as error:
                raise StateError(
                    f"no key of {self._keyring.path} opens {what}, so no key was dropped", hint=_PUT_BACK
                ) from error
        return None

    def end(self) -> int:
        """Drop the old keys; give how many are left, in a file that is not sslctl's to write."""
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
