"""How decoding ends other than well.

DecodeRejected        about the file: say so and go on
DecoderUnavailable    about this machine: hold the delivery and try again
SandboxUnavailable    about this machine, at start-up: nothing starts
"""

from typing import Literal

DecodeCode = Literal[
    "corrupt",
    "truncated",
    "encrypted",
    "too_many_pages",
    "not_text",
    "decode_timeout",
    "decode_memory",
    "decode_crash",
]


class DecodeRejected(Exception):
    """The file cannot be accepted: a normal outcome, with a code from a closed list.

    `decode_timeout`, `decode_memory` and `decode_crash` mean that the file did it to two children, one of them fresh.
    """

    def __init__(self, code: DecodeCode, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code: DecodeCode = code
        self.reason = reason


class DecoderUnavailable(Exception):
    """No decoder child could be started. Says nothing about the file."""


class SandboxUnavailable(DecoderUnavailable):
    """Decoders can't be sandboxed here, and settings require it. The message says what to do."""
