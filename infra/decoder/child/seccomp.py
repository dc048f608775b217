"""The system calls that no decoder has a use for, refused by the kernel from here on, under bubblewrap or not.

A list of refusals, because a decoder's harmless calls change with every libc; the sandbox is the wall, this narrows the
ground in front of it. Numbers: the kernel's arch/x86/entry/syscalls/syscall_64.tbl and asm-generic/unistd.h.
Format of a filter: Linux, Documentation/userspace-api/seccomp_filter.rst.
"""

import ctypes
import errno
import os
import struct

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
ALLOW = 0x7FFF0000
KILL = 0x80000000
REFUSE = 0x00050000 | errno.EPERM
ABSENT = 0x00050000 | errno.ENOSYS  # libc then falls back to clone, whose flags a filter can read

LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, JUMP_IF_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
CLONE_THREAD = 0x00010000
X32_BIT = 0x40000000

# name: (x86_64, aarch64); None: not there
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "kill": (62, 129),
    "tkill": (200, 130),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "setsid": (112, 157),
    "setpgid": (109, 154),
}
_PROGRAMS = {"execve", "execveat"}
_ARCHITECTURES = {"x86_64": (0xC000003E, 0, 56, 435), "aarch64": (0xC00000B7, 1, 220, 435)}  # ..., clone, clone3


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def filter_system_calls(*, programs: bool = False) -> None:
    """Refuse processes, programs, sockets, signals, tracing and mounts with EPERM; threads are allowed.

    Needs PR_SET_NO_NEW_PRIVS. On an architecture without numbers here nothing is filtered.

    Args:
        programs: Whether this process may still become another program.

    Raises:
        OSError: The kernel doesn't take the filter.
    """
    code = filter_code(programs=programs)
    if code is None:
        return
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses the system call filter")


def filter_code(*, programs: bool) -> bytes | None:
    """The filter as the kernel takes it, and bubblewrap; None on an architecture without numbers here."""
    known = _ARCHITECTURES.get(os.uname().machine)
    if known is None:
        return None
    architecture, column, clone, clone3 = known
    refused = [
        number
        for name, numbers in _REFUSED.items()
        if (number := numbers[column]) is not None and not (programs and name in _PROGRAMS)
    ]
    return b"".join(
        [
            _instruction(LOAD, ARCHITECTURE),
            _instruction(JUMP_IF_EQUAL, architecture, 1, 0),
            _instruction(RETURN, KILL),
            _instruction(LOAD, NUMBER),
            _instruction(JUMP_IF_AT_LEAST, X32_BIT, 0, 1),
            _instruction(RETURN, KILL),
            _instruction(JUMP_IF_EQUAL, clone3, 0, 1),
            _instruction(RETURN, ABSENT),
            *(_instruction(JUMP_IF_EQUAL, number, 0, 1) + _instruction(RETURN, REFUSE) for number in refused),
            _instruction(JUMP_IF_EQUAL, clone, 1, 0),
            _instruction(RETURN, ALLOW),
            _instruction(LOAD, FIRST_ARGUMENT),
            _instruction(JUMP_IF_SET, CLONE_THREAD, 1, 0),
            _instruction(RETURN, REFUSE),
            _instruction(RETURN, ALLOW),
        ]
    )


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)
