"""The configuration file: its choice, its content as plain TOML, and the line numbers of its keys."""

from __future__ import annotations

import bisect
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslctl.config.secret_file import require_trusted
from sslctl.errors import ConfigError
from sslctl.system.files import read_regular
from sslctl.text import clean, decode_text

_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file and its content, as `decode_text` returns it. `path` is absolute; `is_public` is true if everyone can read the file."""

    path: Path
    text: str
    is_public: bool = False

    def tables(self) -> dict[str, Any]:
        """Return the unchecked content. Raise `ConfigError` if it is not TOML."""
        try:
            return tomllib.loads(self.text)
        # A number with thousands of digits raises ValueError, as many brackets raise RecursionError.
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{clean(self.path)}: not TOML: {clean(error)}") from None

    def place(self, *keys: str) -> str:
        """Return the path of the file and the line of the statement that sets `keys`. The file must have them.

        tomllib keeps no line numbers. But the lines before that statement are TOML without the keys, and together with it
        they are TOML with the keys; so a binary search finds the line.
        """
        lines = self.text.split("\n")

        def read_statements(count: int) -> tuple[int, Any]:
            """Return how many of the first `count` lines are complete statements, and their content."""
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
        before, _ = read_statements(end - 1)
        return f"{clean(self.path)}, line {before + 1}"


def open_file(named: Path | None, environ: Mapping[str, str], system_file: Path) -> ConfigFile | None:
    """Return the configuration file, or None if none was named and none exists.

    It is the first of: `named`, the file in SSLCTL_CONFIG, the user's file, `system_file`. Raise `ConfigError` if a named
    file is missing, or if an existing file cannot be read or could have been changed by another user.
    """
    if named is None and environ.get("SSLCTL_CONFIG"):
        named = Path(environ["SSLCTL_CONFIG"])
    for path in [named] if named else [*_user_files(environ), system_file]:
        try:
            content, state = read_regular(path, _LARGEST)
            require_trusted(path, "the configuration")
            return ConfigFile(path.absolute(), decode_text(content), bool(state.st_mode & stat.S_IROTH))
        except UnicodeDecodeError:
            raise ConfigError(f"{clean(path)}: not TOML: not text in UTF-8 or UTF-16") from None
        except (OSError, ValueError) as error:
            if named is None and isinstance(error, FileNotFoundError | NotADirectoryError):
                continue
            why = clean(getattr(error, "strerror", None) or error).lower()
            hint = "SSLCTL_CONFIG names it" if environ.get("SSLCTL_CONFIG") == str(named) else None
            raise ConfigError(f"the configuration {clean(path)} cannot be read: {why}", hint=hint) from error
    return None


def _user_files(environ: Mapping[str, str]) -> Iterator[Path]:
    # A relative XDG_CONFIG_HOME is ignored (XDG Base Directory Specification, "Basics").
    folder = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not folder.is_absolute():
        folder = Path(environ.get("HOME", ""), ".config")
    if folder.is_absolute():
        yield folder / "sslctl" / "config.toml"
