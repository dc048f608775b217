"""Become another program that dies with its parent; run as a script, before any other module is imported.

A child asks the kernel for its own death signal, so nothing outlives a supervisor that was killed without a chance
to stop its children. A small program of its own rather than a `preexec_fn`: that one runs Python between fork and
exec, where a lock held by another thread of the supervisor hangs the child for ever.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Execute `argv[2:]`, to be killed as soon as the process `argv[1]` (this one's parent) is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):  # it died before the kernel knew whom to watch
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
