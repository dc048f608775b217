"""What a child takes from itself before it loads a decoder."""

import ctypes
import os
import resource
import signal

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
M_ARENA_MAX = -8
OPEN_FILES = 32  # standard streams, socket, the job's file, libraries while they load


def limit(memory_bytes: int, tasks: int | None) -> None:
    """Bound this process for good: memory, files, processes, core dumps, privileges; and die with the parent.

    Args:
        memory_bytes: Address space.
        tasks: Processes and threads of this user in this user namespace; None: as many as there were allowed.
    """
    bind_to_parent()
    # Each thread would reserve 64 MiB of the address space for itself: what is counted is then close to what is used.
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, tasks),  # root is exempt from this one: the system call filter is not
    ):
        if most is not None:
            resource.setrlimit(what, (most, most))
    os.umask(0o777)


def bind_to_parent() -> None:
    """Die with the parent, and never gain a privilege: this holds for the program that this process may become."""
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_PDEATHSIG, signal.SIGKILL), (PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
