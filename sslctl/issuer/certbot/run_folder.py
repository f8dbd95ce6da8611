"""The folders of one run of certbot's `main`. It locks them, so each run has its own; only the accounts are shared."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def fill(run: Path, accounts: Path) -> None:
    """Make certbot's folders in the folder `run` unless they are there, with its accounts in the folder `accounts`. Raise `OSError`."""
    accounts.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("config", "work"):
        # certbot would make `work` readable for others.
        (run / name).mkdir(mode=0o700, exist_ok=True)
    with suppress(FileExistsError):
        (run / "config" / "accounts").symlink_to(accounts, target_is_directory=True)
