"""Named points between two side effects. They do nothing, unless a test process installs a hook that kills it there."""

from collections.abc import Callable

_hook: Callable[[str], None] | None = None


def failpoint(name: str) -> None:
    """Mark a point: what was done before it is done, what comes after is not."""
    if _hook is not None:
        _hook(name)


def install(hook: Callable[[str], None] | None) -> None:
    """Call `hook` with the name of every point that is reached (tests only)."""
    global _hook  # noqa: PLW0603  one hook a process: a point must cost nothing when there is none
    _hook = hook
