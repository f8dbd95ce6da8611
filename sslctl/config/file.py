"""The configuration file: which one counts, what it says as plain TOML, and where in it something stands."""

from __future__ import annotations

import bisect
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslctl.errors import ConfigError
from sslctl.system.files import read_regular
from sslctl.text import clean

_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read; `path` is absolute. `is_public` says whether everyone can read it."""

    path: Path
    text: str
    is_public: bool = False

    def tables(self) -> dict[str, Any]:
        """Give what the file says, unchecked. Raises `ConfigError` where it is not TOML."""
        try:
            return tomllib.loads(self.text)
        # ValueError also stands for a number with thousands of digits, RecursionError for as many brackets.
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{clean(self.path)}: not TOML: {clean(error)}") from None

    def place(self, *keys: str) -> str:
        """Name the file, and the line where the statement begins that sets `keys`, which the file must hold.

        tomllib keeps no lines. But whatever ends before that statement is TOML without the keys, and whatever ends
        after it is TOML with them; so the line is searched for by halves.
        """
        lines = self.text.replace("\r\n", "\n").split("\n")

        def read_statements(count: int) -> tuple[int, Any]:
            """Give how many of the first `count` lines are whole statements, and what these say."""
            while True:
                try:
                    return count, tomllib.loads("\n".join(lines[:count]))
                except ValueError:
                    count -= 1

        def is_set(count: int) -> bool:
            _, found = read_statements(count)
            for key in keys:
                if key not in found:
                    return False
                found = found[key]
            return True

        end = bisect.bisect_left(range(len(lines)), x=True, key=is_set)
        whole, _ = read_statements(end - 1)
        return f"{clean(self.path)}, line {whole + 1}"


def open_file(named: Path | None, environ: Mapping[str, str], system_file: Path) -> ConfigFile | None:
    """Read the one file that counts; None where none was named and none is there.

    That is `named`, else SSLCTL_CONFIG, else the user's, else `system_file`. Raises `ConfigError` for a file that
    was named and is missing, and for any that is there and cannot be read.
    """
    if named is None and environ.get("SSLCTL_CONFIG"):
        named = Path(environ["SSLCTL_CONFIG"])
    for path in [named] if named else [*_user_files(environ), system_file]:
        try:
            content, state = read_regular(path, _LARGEST)
            return ConfigFile(path.absolute(), content.decode(), bool(state.st_mode & stat.S_IROTH))
        except UnicodeDecodeError:
            raise ConfigError(f"{clean(path)}: not TOML: not in UTF-8") from None
        except (OSError, ValueError) as error:
            if named is None and isinstance(error, FileNotFoundError | NotADirectoryError):
                continue
            why = clean(getattr(error, "strerror", None) or error).lower()
            hint = "SSLCTL_CONFIG names it" if environ.get("SSLCTL_CONFIG") == str(named) else None
            raise ConfigError(f"the configuration {clean(path)} cannot be read: {why}", hint=hint) from error
    return None


def _user_files(environ: Mapping[str, str]) -> Iterator[Path]:
    # A relative XDG_CONFIG_HOME does not count (XDG Base Directory Specification, "Basics").
    folder = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not folder.is_absolute():
        folder = Path(environ.get("HOME", ""), ".config")
    if folder.is_absolute():
        yield folder / "sslctl" / "config.toml"
