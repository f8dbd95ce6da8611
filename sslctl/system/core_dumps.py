"""No core dumps: whoever reads one reads the keys that the process held."""

from __future__ import annotations

import ctypes
import resource

# From linux/prctl.h.
_PR_SET_DUMPABLE = 4


def forbid() -> None:
    """Have the kernel write no core of this process, whatever ends it, nor let others of the same user look into it.

    The limit holds for all children too. It does not hold where cores are piped into a program (core(5)); for that
    there is the flag, which a new program starts without.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
