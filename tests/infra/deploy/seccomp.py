"""A seccomp profile of Docker's format, without Docker: libseccomp makes of it what bubblewrap gives the kernel."""

import ctypes
import json
import tempfile
from pathlib import Path
from typing import IO

ALLOW = 0x7FFF0000
REFUSE = 0x00050000


def compiled(profile: Path) -> IO[bytes]:
    """The profile as a filter of the kernel, in a file that is read from its start."""
    said = json.loads(profile.read_text())
    assert said["defaultAction"] == "SCMP_ACT_ALLOW"
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    context = library.seccomp_init(ALLOW)
    for rule in said["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ERRNO"
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            assert number >= 0, f"this machine's kernel has no system call {name}"
            assert library.seccomp_rule_add(context, REFUSE | rule["errnoRet"], number, 0) == 0, name
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's
    assert library.seccomp_export_bpf(context, file.fileno()) == 0
    library.seccomp_release(context)
    file.seek(0)
    return file
