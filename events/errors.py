"""The ways a function does not succeed. Any other exception is a bug or a surprise: retried, then dead-lettered."""

from typing import cast


class Reject(Exception):
    """About the input: a normal outcome, with a code from the application's closed list.

    Args:
        code: what a program reads.
        reason: the sentence a person reads: what is wrong with the file and what to do.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class Unavailable(Exception):
    """About the world: the delivery is held until the dependency's probe answers; no attempt is counted."""

    def __init__(self, dependency: str, reason: str = "") -> None:
        super().__init__(f"{dependency} is unavailable: {reason}" if reason else f"{dependency} is unavailable")
        self.dependency = dependency
        self.reason = reason


class Unreadable(Exception):
    """A message that is no valid input: dead-lettered at once, since no retry can mend it."""


def reason(error: Exception) -> Exception:
    """What a task group failed for, if all its tasks failed in one way; any other error is its own reason."""
    if isinstance(error, ExceptionGroup):
        reasons = [reason(each) for each in cast("ExceptionGroup[Exception]", error).exceptions]
        if len({type(each) for each in reasons}) == 1:
            return reasons[0]
    return cast("Exception", error)
