"""What a scanner can be made to overlook in a zip is refused by whoever reads it after the scanner."""

import io
import os
import zipfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from infra.clamd import Clamd
from infra.decoder.child.archive import Archive
from infra.decoder.child.rejected import Rejected
from infra.local.threaded import ThreadedStack
from schemas.document import event_name
from tests.infra.servers import EICAR, ClamdServer, clamd_server
from tests.samples.archives import docx
from tests.samples.office import office, parts, zipped
from tests.samples.two_faces import ABSENT, Lies, all_lies, written
from tests.system import System, provisioned, working

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
TRICKS = {
    "lengths": Lies({"packed": 0}),
    "64 bits": Lies({"packed": ABSENT, "size": ABSENT}),
    "method": Lies({"method": 0}),
}
FILES = {"mimetype": b"application/epub+zip", "first.txt": b"harmless", "evil.txt": EICAR, "last.txt": b"harmless"}


@pytest.fixture(scope="module")
def server() -> Generator[ClamdServer]:
    """A clamd that finds EICAR."""
    with clamd_server() as running:
        yield running


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works yet."""
    async with provisioned(stack) as provided:
        yield provided


async def status(server: ClamdServer, body: bytes) -> str:
    """What clamd says."""

    async def stream() -> AsyncGenerator[bytes]:
        yield body

    return (await Clamd(str(server.path)).scan(stream())).status


def refusal(directory: Path, body: bytes) -> str:
    """The code with which the archive is refused; empty where it is read to its end."""
    path = directory / "zip"
    path.write_bytes(body)
    file = os.open(path, os.O_RDONLY)
    try:
        archive = Archive(file, max_entries=100, max_bytes=10_000, max_ratio=100)
        for name in archive.entries:
            for _ in archive.chunks(name):
                pass
    except Rejected as rejected:
        return rejected.code
    finally:
        os.close(file)
    return ""


@pytest.mark.parametrize(
    "honest",
    [
        Lies(),
        Lies(described=True),
        Lies(described=True, signed=False),
        Lies({"packed": 0, "size": 0, "checksum": 0}, described=True),
        Lies({"packed": 0, "size": 0}, described=True),
    ],
)
async def test_honest_archives(server: ClamdServer, tmp_path: Path, honest: Lies) -> None:
    """However an honest writer writes, clamd finds what is in it, and it is read."""
    body = written(FILES, "evil.txt", honest)
    assert await status(server, body) == "infected"
    assert refusal(tmp_path, body) == ""


async def test_nothing_is_overlooked(server: ClamdServer, tmp_path: Path) -> None:
    """Whatever is done to a header or the directory, clamd finds the file, or the archive is refused."""
    overlooked = readable = 0
    for lies in all_lies():
        body = written(FILES, "evil.txt", lies)
        if await status(server, body) == "clean":
            overlooked += 1
            readable += _reads(body)
            assert refusal(tmp_path, body), lies
    # These are no tricks in theory: clamd overlooks most of them, and readers open many.
    assert overlooked > 50
    assert readable > 30


async def test_a_large_member_is_not_cut_in_silence(server: ClamdServer, tmp_path: Path) -> None:
    """A file of 4 GiB and more needs 64-bit fields, so none is taken."""
    body = io.BytesIO()
    with (
        zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("large", "w", force_zip64=True) as member,
    ):
        member.write(EICAR)
    assert await status(server, body.getvalue()) == "clean"
    assert refusal(tmp_path, body.getvalue()) == "unscannable"


def _reads(body: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return archive.read("evil.txt") == EICAR
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        return False


async def test_a_document_with_a_liar_inside(system: System) -> None:
    """Scanned clean because clamd overlooks what is in it, a document is refused, as it is with such a one embedded."""
    liar = {name: written(FILES, "evil.txt", lies) for name, lies in TRICKS.items()}
    honest = written(FILES | {"evil.txt": b"harmless"}, "evil.txt", Lies(described=True))
    media_ids: dict[str, str] = {}
    async with working(system):
        for name, lies in TRICKS.items():
            evil = "word/media/evil.txt"
            documents = {
                f"{name}": written(parts(office("plain.docx")) | {evil: EICAR}, evil, lies),
                f"{name}, embedded": docx({"word/embeddings/file.zip": liar[name]}),
                f"{name}, deeper": docx({"word/embeddings/file.zip": zipped({"file.zip": liar[name]})}),
            }
            for what, body in documents.items():
                media_ids[what] = await system.upload(body, DOCX)
        media_ids["honest"] = await system.upload(docx({"word/embeddings/file.zip": honest}), DOCX)
        ended = {what: await system.ended(media_id) for what, media_id in media_ids.items()}
        assert event_name(ended.pop("honest")) == "ready"
        for what, event in ended.items():
            assert (event_name(event), event["data"].get("code")) == ("rejected", "unscannable"), what
            # The scanner didn't see it: that is what this is about.
            assert await system.event(media_ids[what], "scanned"), what
            left = await system.keys(media_ids[what])
            assert not [key for key in left if key.startswith("permanent/")], what
