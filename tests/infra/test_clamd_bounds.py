"""What clamd can't look into is never clean: past each of its bounds, in what is encrypted, in what is nested."""

import gzip
import os
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import pytest

from infra.clamd import Clamd, Verdict
from infra.local.clamd import options
from infra.local.signatures import TEST_STRING, install_signatures
from infra.settings import CLAMD_CEILING
from tests.infra.servers import EICAR, ClamdServer, clamd_server
from tests.samples.archives import ENCRYPTED, containers, docx, epub, nested, pdf_with, tarred, zipped
from tests.samples.documents import encrypted_pdf

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ClamdServer]:
    """A clamd as the stack runs it, with the signatures that are built in."""
    built_in = tmp_path_factory.mktemp("signatures") / "built-in"
    install_signatures(built_in, system=None)
    database = {path.name: path.read_bytes() for path in built_in.iterdir()}
    # A regular expression beside a fixed string, and a string in what clamd makes of a script or a text (target 7).
    database["more.ldb"] = (
        b"Tidegate-Test-Expression;Engine:81-255,Target:0;0&1;%s;0/NUMBER[0-9]{3}X/\n" % b"TRIGGER!".hex().encode()
    )
    database["more.ndb"] = b"Tidegate-Test-Normalised:7:*:%s\n" % b"a marker in normal form".hex().encode()
    with clamd_server(database=database) as running:
        yield running


async def scanned(server: ClamdServer, body: bytes) -> Verdict:
    """What clamd says of these bytes."""

    async def stream() -> AsyncGenerator[bytes]:
        view = memoryview(body)
        for start in range(0, len(body), 256 * 1024):
            yield bytes(view[start : start + 256 * 1024])

    return await Clamd(str(server.path)).scan(stream())


def padded(size: int, content: bytes) -> bytes:
    """A file of this size with the content at its very end."""
    return b"padding\n".ljust(size - len(content), b".") + content


def weighing(total: int, content: bytes) -> bytes:
    """A zip that, with what is in it, comes to so many bytes: how clamd counts against MaxScanSize."""
    member = padded(total - 8000, content)
    bare = zipped({"file.txt": member})
    return zipped({"file.txt": member}, comment=b" " * (total - len(bare) - len(member)))


def many(count: int, content: bytes) -> bytes:
    """A zip of so many files, the content in the last."""
    others = {f"{number}.txt": b"number %d" % number for number in range(count - 1)}
    return zipped(others | {"last.txt": content})


BOUNDS: dict[str, tuple[dict[str, str], Callable[[int, bytes], bytes], int]] = {
    "StreamMaxLength": ({"StreamMaxLength": "1M"}, padded, MIB),
    "MaxFileSize": ({"MaxFileSize": "1M", "MaxScanSize": "1M"}, padded, MIB),
    "MaxScanSize": ({"MaxScanSize": "1M"}, weighing, MIB),
    # The archive counts as one of them.
    "MaxFiles": ({"MaxFiles": "10"}, many, 9),
    # The file itself is the last level.
    "MaxRecursion": ({"MaxRecursion": "5"}, nested, 4),
}


@pytest.mark.parametrize("bound", list(BOUNDS))
async def test_bounds(bound: str) -> None:
    """Just under a bound and at it clamd sees the last byte; over it nothing is clean, find or no find."""
    changes, make, most = BOUNDS[bound]
    with clamd_server(changes=changes) as server:
        for size in (most - 1, most):
            assert (await scanned(server, make(size, os.urandom(30)))).status == "clean"
            assert (await scanned(server, make(size, EICAR))).status == "infected"
        for size in (most + 1, most * 3):
            for content in (os.urandom(30), EICAR):
                verdict = await scanned(server, make(size, content))
                assert verdict.status != "clean", size
                if verdict.status == "unscannable":
                    assert str(verdict.signature).endswith(bound)
            # Nothing but the bound is in the way of saying clean.
            assert (await scanned(server, make(size, os.urandom(30)))).status == "unscannable"


async def test_time_bound() -> None:
    """A scan that takes clamd too long is none."""
    with clamd_server(changes={"MaxScanTime": "1"}) as server:
        verdict = await scanned(server, os.urandom(8 * MIB))
    assert (verdict.status, verdict.signature) == ("unscannable", "Heuristics.Limits.Exceeded.MaxScanTime")


@pytest.mark.parametrize("over", [-60, 0, 1, 100, 5000, MIB, 8 * MIB])
async def test_a_member_larger_than_a_file_may_be(over: int) -> None:
    """What is unpacked counts like what was sent: no find hides behind the bound in a zip, a document or a stream."""
    with clamd_server(changes=dict.fromkeys(("StreamMaxLength", "MaxFileSize", "MaxScanSize"), "2M")) as server:
        member = bytes(2 * MIB + over - len(EICAR)) + EICAR
        for body in (
            zipped({"file.txt": member}),
            docx({"word/media/image1.png": member}),
            gzip.compress(member),
            tarred(member),
            pdf_with(member),
        ):
            assert (await scanned(server, body)).status == "unscannable"


def test_bounds_that_are_configured(tmp_path: Path) -> None:
    """What clamd takes as a whole it takes as a file and no less; what it unpacks may come to no more than that.

    With a MaxScanSize above MaxFileSize the test before fails: clamd says OK for a zip whose member it has cut.
    """
    told = options(tmp_path, tmp_path, tmp_path)
    assert told["StreamMaxLength"] == told["MaxFileSize"] == told["MaxScanSize"] == CLAMD_CEILING
    assert (told["AlertExceedsMax"], told["AlertEncrypted"]) == ("yes", "yes")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda: b"<html>" + b"<p>text</p>\n" * (41 * MIB // 12) + TEST_STRING, id="MaxHTMLNormalize"),
        pytest.param(lambda: b"word\n" * (21 * MIB // 5) + b"a Marker  in NORMAL form", id="MaxScriptNormalize"),
        pytest.param(lambda: bytes(101 * MIB) + b"TRIGGER!  NUMBER123X", id="PCREMaxFileSize"),
    ],
)
async def test_bounds_that_say_nothing(server: ClamdServer, body: Callable[[], bytes]) -> None:
    """Bounds past which clamd would look less closely, or not at all, and say OK, are out of reach."""
    assert (await scanned(server, body())).status == "infected"


@pytest.mark.parametrize("where", list(containers(EICAR)))
async def test_found_wherever_it_is(server: ClamdServer, where: str) -> None:
    """EICAR is found in whatever holds it, and the same without it is clean."""
    assert (await scanned(server, containers(EICAR)[where])).status == "infected"
    assert (await scanned(server, containers(b"harmless " + os.urandom(8))[where])).status == "clean"


@pytest.mark.parametrize("sample", [EICAR, TEST_STRING])
async def test_found_in_a_book(server: ClamdServer, sample: bytes) -> None:
    """HTML isn't looked at as it is but in clamd's normal form, for which the built-in signatures have one as well."""
    assert (await scanned(server, epub(b"<p>" + sample + b"</p>"))).status == "infected"
    assert (await scanned(server, epub(b"<p>harmless</p>"))).status == "clean"


@pytest.mark.parametrize("start", [0, 1, 64 * 1024 - 34, 64 * 1024, 256 * 1024 - 1, 3 * MIB - 68])
async def test_found_at_any_byte(server: ClamdServer, start: int) -> None:
    """A find that lies across the pieces that were sent, or at the end of a large file, is one."""
    body = bytearray(os.urandom(3 * MIB))
    body[start : start + len(EICAR)] = EICAR
    assert (await scanned(server, bytes(body))).status == "infected"


@pytest.mark.parametrize("kind", list(ENCRYPTED))
async def test_encrypted_archives(server: ClamdServer, kind: str) -> None:
    """What only a password opens is not clean, alone, in an archive, in a document, or attached to one."""
    for body in (
        ENCRYPTED[kind],
        nested(3, ENCRYPTED[kind]),
        docx({"word/embeddings/file.bin": ENCRYPTED[kind]}),
        pdf_with(ENCRYPTED[kind]),
    ):
        verdict = await scanned(server, body)
        assert verdict.status == "unscannable"
        assert str(verdict.signature).startswith("Heuristics.Encrypted.")


async def test_encrypted_pdf(server: ClamdServer) -> None:
    """A PDF with a password is not clean either, alone or in a zip."""
    for body in (encrypted_pdf(), zipped({"letter.pdf": encrypted_pdf()})):
        verdict = await scanned(server, body)
        assert (verdict.status, verdict.signature) == ("unscannable", "Heuristics.Encrypted.PDF")
