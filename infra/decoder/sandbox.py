"""The command line that starts a decoder child, confined by bubblewrap unless settings say otherwise.

What the child sees: the interpreter and its libraries, the decoders' packages and its own code, all read-only. No
network, no other process, no /proc, /dev, /etc, /home or /tmp, no environment, nowhere to write.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from infra.decoder.errors import SandboxUnavailable
from infra.settings import Settings

CHILD = Path(__file__).with_name("child")
PACKAGES = (
    "pypdfium2_raw",
    "magic",
    "PIL",
    "pillow_heif",
    "_pillow_heif",
    "pyvips",
    "_libvips",
    "_cffi_backend",
    "thash",
)
LIBRARIES_OF_WHEELS = ("pillow.libs", "pillow_heif.libs", "pyvips_binary.libs")
LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64")
MAGIC_DATABASES = ("/usr/share/misc", "/usr/share/file")
MOST_CHILD_BYTES = 680 * 1024 * 1024
"""Address space of a child, whatever the settings allow FFmpeg: what is resident is 80 MiB less, and stays below 600.
A picture of 100 megapixels takes 530 MiB of it; only a progressive JPEG of 95 and more with full chroma is refused."""
TASKS = 16
"""Processes and threads in a sandbox: bubblewrap's, the decoder's, and libvips's, which works in threads of its own,
however few. Counted in the sandbox's own user namespace; outside one, with all that the user runs, nothing can be
said: there the system call filter refuses processes, and threads are bounded by the address space of their stacks."""

# No session of bubblewrap's own: who starts it has made one, without a terminal, and ends all of its process group.
# What bubblewrap began in another session would outlive it where it is killed before that asked to die with it.
WALLS = ("--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--clearenv", "--chdir", "/")

REMEDY = (
    "Decoders must be sandboxed (TIDEGATE_SANDBOX=required), and bubblewrap can't do it here: {why}. Install "
    "bubblewrap and allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
    "user.max_user_namespaces>0, kernel.apparmor_restrict_unprivileged_userns=0; in a container, a seccomp profile "
    "that permits them), or set TIDEGATE_SANDBOX=rlimits to run them with resource limits and a system call filter "
    "alone."
)


def command(settings: Settings, channel: int, extra_jobs: Path | None = None) -> list[str]:
    """Build a child's command line.

    Args:
        settings: Whether to sandbox, and the memory limit.
        channel: The descriptor that the child inherits as its socket.
        extra_jobs: A Python file with more jobs, for tests of the confinement itself.

    Raises:
        SandboxUnavailable: A sandbox is required and there is no bubblewrap.
    """
    packages = _packages()
    confined = settings.sandbox == "required"
    path = [str(CHILD.parent), *{str(package.parent) for package in packages}]
    modules = ["child.jobs"]
    if extra_jobs:
        path.append(str(extra_jobs.parent))
        modules.append(extra_jobs.stem)
    memory = min(settings.decoder_memory_bytes, MOST_CHILD_BYTES)
    program = (
        f"import sys; sys.path += {path!r}; from child.main import main; "
        f"main({channel}, {memory}, {TASKS if confined else None}, {modules!r})"
    )
    python = [str(interpreter()), "-I", "-S", "-c", program]
    if not confined:
        return python
    visible = [CHILD, *packages, *([extra_jobs] if extra_jobs else [])]
    return [bubblewrap(), *WALLS, *_binds(visible), "--remount-ro", "/", "--", *python]


def bubblewrap() -> str:
    """Where bubblewrap is.

    Raises:
        SandboxUnavailable: It isn't anywhere.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxUnavailable(REMEDY.format(why="there is no bwrap on PATH"))
    return bwrap


def roots(extra_jobs: Path | None = None) -> set[str]:
    """The names that a confined child may find in its root directory."""
    visible = [CHILD, extra_jobs or CHILD, *_packages(), interpreter()]
    return {Path(path).parts[1] for path in (*visible, *LIBRARIES, *MAGIC_DATABASES)}


def _binds(visible: list[Path]) -> list[str]:
    python = interpreter()
    home = Path(sys.base_prefix)
    own = [python, *visible] if home == Path("/usr") else [python, home / "lib", *visible]
    arguments: list[str] = []
    for path in own:
        arguments += ["--ro-bind", str(path), str(path)]
    for path in (*LIBRARIES, *MAGIC_DATABASES):
        arguments += ["--ro-bind-try", path, path]
    return arguments


def interpreter() -> Path:
    """The interpreter itself: a virtual environment's link to it means nothing in the sandbox."""
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    return (base if base.exists() else Path(sys.executable)).resolve()


def _packages() -> list[Path]:
    """The decoders' packages, and the libraries that their wheels bring along beside them."""
    packages = [_package(name) for name in PACKAGES]
    brought = {package.with_name(name) for package in packages for name in LIBRARIES_OF_WHEELS}
    return [*packages, *sorted(path for path in brought if path.is_dir())]


def _package(name: str) -> Path:
    found = find_spec(name)
    if found is None or not found.origin:
        raise SandboxUnavailable(
            f"The decoders need the package {name}, which is not installed: install Tidegate anew."
        )
    places = found.submodule_search_locations
    return Path(places[0] if places else found.origin).resolve()
