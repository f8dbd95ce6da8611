"""What several tests need: the fakes, a CDN with real sockets, helpers for the store and for processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder."""


def module_command(name: str) -> tuple[str, ...]:
    """Return the command that runs the module `name` of this project, such as `tests.torture.dying`, from any folder."""
    program = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_module({name!r}, alter_sys=True, run_name='__main__')"
    return (sys.executable, "-c", program)


def environment() -> dict[str, str]:
    """Return the environment for a Python program that imports from this project."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
