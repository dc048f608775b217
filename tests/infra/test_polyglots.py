"""Files that are two things at once: all refused, by a code of their own."""

import random
import struct
import zipfile
from collections.abc import AsyncIterator
from io import BytesIO

import pytest
import pytest_asyncio

from infra.decoder import DecoderPool
from infra.magic import WHOLE_BYTES
from infra.settings import Settings
from tests.infra.identifying import Reader, identified, identified_whole
from tests.samples.clean import samples
from tests.samples.clean.images import encoded, photo
from tests.samples.documents import pdf
from tests.samples.polyglots import FILES
from tests.samples.polyglots.make import ELF, JAR, PAGE, PHP, RAR, SHORT_PHP, ZIP, javascript_jpeg

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAR = 300_000
"""Behind every head, and before every tail."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    """One sandboxed child for all of them."""
    started = DecoderPool(Settings(decoder_processes=1))
    await started.start()
    yield started
    await started.aclose()


async def test_the_corpus_is_refused(pool: DecoderPool) -> None:
    """None of the committed files comes in, whether some of its bytes are seen or all."""
    assert len(FILES) >= 20
    seen = {
        path.name: {await identified(pool, path.read_bytes()), await identified_whole(pool, path.read_bytes())}
        for path in FILES
    }
    assert {name: found for name, found in seen.items() if found != {"polyglot"}} == {}
    assert all(path.stat().st_size < 10_000 for path in FILES)


async def test_a_jpeg_that_begins_as_a_script(pool: DecoderPool) -> None:
    """The length of the first segment reads `/*`, and a remark ends what that begins."""
    assert await identified_whole(pool, javascript_jpeg()) == "polyglot"
    harmless = javascript_jpeg().replace(b"*/=alert(1)/*", b"A remark, 13.")
    assert await identified_whole(pool, harmless) == "image/jpeg"


def _large_jpeg() -> bytes:
    return encoded(photo(1, (1200, 900)), "JPEG", quality=97)


def _large_zip() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.bin", bytes(FAR))
        archive.comment = b"c" * 60_000
    return buffer.getvalue()


def _large_pdf() -> bytes:
    document = pdf(400)
    assert len(document) > FAR / 3 > WHOLE_BYTES
    return document


async def test_an_end_far_from_the_head(pool: DecoderPool) -> None:
    """An archive behind a large picture or movie is seen in its last bytes, before it is scanned."""
    movie = samples()["camera.mp4"].body + struct.pack(">I", 20_000) + b"free" + bytes(19_992)
    for large in (_large_jpeg(), movie, samples()["large.png"].body, samples()["cover.mp3"].body):
        assert len(large) > WHOLE_BYTES
        for behind in (ZIP, JAR, PHP, PAGE):
            assert await identified(pool, large + behind) == "polyglot"


async def test_behind_a_large_pdf(pool: DecoderPool) -> None:
    """One read doesn't show a PDF's end: what stands there is seen when all of it is at hand, before it comes in."""
    for behind in (ZIP, JAR, PAGE, ELF, RAR):
        reader = Reader(_large_pdf() + behind)
        assert await reader.identify(pool) == "application/pdf"
        assert len(reader.reads) == 1
        assert await identified_whole(pool, reader.body) == "polyglot"


async def test_what_stands_in_the_middle(pool: DecoderPool) -> None:
    """What is neither in the head nor in the tail is found by the format's own structure."""
    jpeg, png, gif = _large_jpeg(), samples()["large.png"].body, _long_gif()
    assert len(jpeg) > FAR > 4 * 65_557
    filler = b"\xff\xec\xff\xff" + bytes(65_533)
    remark = b"\xff\xfe" + struct.pack(">H", len(SHORT_PHP) + 2) + SHORT_PHP
    text = struct.pack(">I", 8 + len(SHORT_PHP)) + b"tEXtComment\0" + SHORT_PHP + bytes(4)
    box = struct.pack(">I", 8 + len(PAGE)) + b"skip" + PAGE
    movie = samples()["faststart.mp4"].body
    padding = struct.pack(">I", FAR) + b"free" + bytes(FAR - 8)
    for name, body in {
        "a remark behind four segments": jpeg[:2] + filler * 4 + remark + jpeg[2:],
        "a program among pixels": jpeg[: FAR // 2] + b"<?php system($_GET['a']); ?>" + jpeg[FAR // 2 :],
        "an archive, and much behind it": jpeg + RAR + bytes(FAR),
        "a zip, and much behind it": jpeg + ZIP + bytes(FAR),
        "a large zip with a long remark": jpeg + _large_zip(),
        "a text between chunks": png[:-12] + text + png[-12:],
        "a text, and padding behind": png[:-12] + text + png[-12:] + bytes(20_000),
        "a remark between frames": gif[:-1]
        + b"\x21\xfe"
        + bytes((len(SHORT_PHP),))
        + SHORT_PHP
        + b"\0"
        + gif[-1:]
        + bytes(20_000),
        "a page between boxes": movie + padding + box + padding,
        "a page where samples begin": movie
        + padding
        + struct.pack(">I", 8 + len(PAGE) + FAR)
        + b"mdat"
        + PAGE
        + bytes(FAR),
        "a page in a wave": _wave_with(b"JUNK", PAGE),
        "a zip in a PDF": _large_pdf().replace(b"xref\n", b"% " + ZIP + b"\nxref\n", 1),
    }.items():
        assert await identified_whole(pool, body) == "polyglot", name


def _long_gif() -> bytes:
    return encoded(photo(1, (600, 400)), "GIF")


def _wave_with(name: bytes, content: bytes) -> bytes:
    wave = samples()["pcm.wav"].body
    chunks = (
        wave[12:] + name + struct.pack("<I", len(content)) + content + b"zero" + struct.pack("<I", FAR) + bytes(FAR)
    )
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


async def test_a_photo_with_its_movie_is_one_thing(pool: DecoderPool) -> None:
    """What phones put behind a photo is none of what is refused, unless something stands behind that in turn."""
    photo_with_movie = samples()["motion.jpg"].body
    assert await identified_whole(pool, photo_with_movie) == "image/jpeg"
    assert await identified_whole(pool, photo_with_movie + ZIP) == "polyglot"
    assert await identified_whole(pool, samples()["multi-picture.jpg"].body + RAR) == "polyglot"


async def test_noise_is_not_two_things(pool: DecoderPool) -> None:
    """Random bytes where clean files have compressed ones refuse nothing: 64 MiB of them in pictures and movies."""
    seed = random.SystemRandom().getrandbits(64)
    noise = random.Random(seed).randbytes(4 * 1024 * 1024)
    jpeg = noise.replace(b"\xff", b"\xfe")
    movie = samples()["faststart.mp4"].body
    said = f"seed {seed}"
    for turn in range(8):
        turned = jpeg[turn * 1000 :] + jpeg[: turn * 1000]
        photo_ = _large_jpeg()
        scan = photo_.index(b"\xff\xda") + 14
        assert await identified_whole(pool, photo_[:scan] + turned + b"\xff\xd9") == "image/jpeg", said
        body = movie + struct.pack(">I", len(noise) + 8) + b"mdat" + noise[turn:] + noise[:turn]
        assert await identified_whole(pool, body) == "video/mp4", said
