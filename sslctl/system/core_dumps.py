"""The prevention of core dumps, which would hold private keys."""

from __future__ import annotations

import ctypes
import resource

# From linux/prctl.h.
_PR_SET_DUMPABLE = 4


def forbid() -> None:
    """Forbid core dumps of this process, and the access of the user's other processes to its memory.

    Children inherit the limit. It does not apply to cores that are piped into a program (core(5)); the dumpable flag
    covers those, but a new program starts without that flag.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
