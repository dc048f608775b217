"""Whether a clamd is set up so that its OK means something: asked with what it must not say OK to."""

import io
import zipfile
from collections.abc import AsyncGenerator

from infra.clamd import Clamd
from infra.local.signatures import EICAR

# More than MaxRecursion may sensibly be; clamd's own is 17.
_LEVELS = 100


async def shortcomings(clamd: Clamd) -> list[str]:
    """What clamd says of EICAR, of what is encrypted and of what is nested too deeply, where that is wrong.

    Raises:
        DependencyDown: It doesn't answer.
    """
    found: list[str] = []
    if await _says(clamd, EICAR) != "infected":
        found.append("does not find the EICAR test file: load signatures (freshclam)")
    if await _says(clamd, _encrypted()) == "clean":
        found.append("calls encrypted archives clean: set AlertEncrypted yes")
    if await _says(clamd, _nested()) == "clean":
        found.append("calls archives clean that are past its limits: set AlertExceedsMax yes")
    return found


async def _says(clamd: Clamd, body: bytes) -> str:
    async def stream() -> AsyncGenerator[bytes]:
        yield body

    return (await clamd.scan(stream())).status


def _encrypted() -> bytes:
    """A zip that says of its one member that it is encrypted (bit 0 of the general purpose flags, in both headers)."""
    data = bytearray(_zip("secret", b"not really"))
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(header) + offset] |= 1
    return bytes(data)


def _nested() -> bytes:
    content = b"harmless"
    for _ in range(_LEVELS):
        content = _zip("inner.zip", content)
    return content


def _zip(name: str, content: bytes) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return output.getvalue()
