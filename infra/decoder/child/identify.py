from typing import Any

import magic

# libmagic's guess at CSV takes any prose with as many commas in each line; what it is then is plain text.
_NO_CHECK_CSV = 0x80000

_cookie = magic.Magic(mime=True)
_cookie.flags |= _NO_CHECK_CSV
magic.magic_setflags(_cookie.cookie, _cookie.flags)


def identify(_file: int, _args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Ask libmagic what the inline bytes begin.

    Returns:
        `content_type`, as libmagic found it.
    """
    return {"content_type": _cookie.from_buffer(inline)}
