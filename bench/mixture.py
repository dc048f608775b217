"""Files by the thousand, no two alike: good ones of every kind, and hostile ones of every sort.

Each is made once, with room for a mark, and stamped with another mark for every upload: what scanners and caches have
seen before would cost them nothing.
"""

import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from PIL import Image

from bench import media, samples
from bench.pdf import truncated_pdf, unique_pdf

MARK: Final = b"tidegate-mixture-0000000000000000"
PNG_SIDE: Final = 60_000
BOMB_BYTES: Final = 512 * 1024 * 1024

Make = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort of file.

    Attributes:
        name: Its file name.
        content_type: What it is declared as.
        make: Its bytes for a number.
    """

    name: str
    content_type: str
    make: Make


def good() -> tuple[Sort, ...]:
    """What must come in: a document, a letter, a photo, sound and a film."""
    return (
        Sort("report.pdf", "application/pdf", unique_pdf),
        Sort("letter.docx", _DOCX, _marked(_letter())),
        Sort("photo.jpg", "image/jpeg", _marked(_photo())),
        Sort("tone.mp3", "audio/mpeg", _marked(media.mp3(title=MARK.decode()))),
        Sort("film.mp4", "video/mp4", _marked(media.mp4(2, comment=MARK.decode()))),
    )


def hostile() -> tuple[Sort, ...]:
    """What must stay out: files that are not what they say, bombs, polyglots, broken, locked and infected ones."""
    film = _marked(media.mp4(4, comment=MARK.decode()))
    return (
        Sort("invoice.pdf", "application/pdf", _followed(samples.program())),
        Sort("holiday.jpg", "image/jpeg", _followed(samples.text())),
        Sort("page.txt", "text/plain", _followed(b"<html><script>alert(1)</script>")),
        Sort("stream.mp4", "video/mp4", _followed(media.playlist())),
        Sort("script.gif", "image/gif", _followed(b"GIF89a/*\x01\x00\x01\x00\x00\x00\x00,*/=1;alert(1)//")),
        Sort("archive.docx", _DOCX, _marked(_archive())),
        Sort("bomb.docx", _DOCX, _marked(_bomb())),
        Sort("bomb.png", "image/png", _followed(_wide_png())),
        Sort("half.mp4", "video/mp4", lambda number: film(number)[:-90_000]),
        Sort("half.pdf", "application/pdf", _followed(truncated_pdf())),
        Sort("secret.pdf", "application/pdf", _followed(samples.encrypted_pdf())),
        Sort("eicar.txt", "text/plain", lambda _: samples.eicar()),
    )


def numbered(sorts: tuple[Sort, ...], seed: int) -> Iterator[tuple[Sort, bytes]]:
    """Files of these sorts in turn, for ever, none like another."""
    numbers = itertools.count(seed)
    for sort in itertools.cycle(sorts):
        yield sort, sort.make(next(numbers))


_DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def _marked(template: bytes) -> Make:
    """Put the number where the mark is."""
    assert MARK in template
    return lambda number: template.replace(MARK, b"tidegate-mixture-%016x" % (number & (2**64 - 1)))


def _followed(content: bytes) -> Make:
    """Put the number behind the content."""
    return lambda number: content + b"\n%%%016x\n" % (number & (2**64 - 1))


def _photo() -> bytes:
    written = io.BytesIO()
    Image.open(io.BytesIO(media.photo())).save(written, "JPEG", quality=85, comment=MARK)
    return written.getvalue()


def _letter() -> bytes:
    """A letter with its mark as the zip's comment, which no checksum covers."""
    written = io.BytesIO(media.docx())
    with zipfile.ZipFile(written, "a") as letter:
        letter.comment = MARK
    return written.getvalue()


def _archive() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.comment = MARK
        archive.writestr("run.sh", "rm -rf /")
    return written.getvalue()


def _bomb() -> bytes:
    """A letter with a part that unpacks to half a gigabyte of zeros."""
    written = io.BytesIO(media.docx())
    with zipfile.ZipFile(written, "a", zipfile.ZIP_DEFLATED) as letter:
        letter.comment = MARK
        with letter.open("word/media/image1.bmp", "w", force_zip64=False) as part:
            for _ in range(BOMB_BYTES // 2**20):
                part.write(bytes(2**20))
    return written.getvalue()


def _wide_png() -> bytes:
    """A small PNG that says it has 3.6 gigapixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", PNG_SIDE, PNG_SIDE, 8, 2, 0, 0, 0)
    lines = zlib.compress(Random(PNG_SIDE).randbytes(2048))  # noqa: S311  the same picture each time
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
