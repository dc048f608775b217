"""Tags: a stranger's words out of every format, fit to be shown; and the cover as it was attached."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.ffmpeg import Ffmpeg
from infra.ffmpeg.tags import LONGEST, Tags, read_words, take_cover
from schemas.renditions import TagsDescription
from tests.infra.ffmpeg.test_sound import recording
from tests.samples import sounds
from tests.samples.av import made
from tests.samples.sounds import id3v1, id3v2, picture_frame, words

Make = Callable[[bytes], Path]
SAID = ("title=Grüße", "artist=Björk", "album=Дебют", "album_artist=Various", "track=7/12", "date=1993", "genre=Pop")
FOUND = {
    "title": "Grüße",
    "artist": "Björk",
    "album": "Дебют",
    "album_artist": "Various",
    "track": "7/12",
    "date": "1993",
    "genre": "Pop",
}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where FFmpeg writes."""
    made = tmp_path / "output"
    made.mkdir()
    return made


async def tags_of(ffmpeg: Ffmpeg, path: Path, content_type: str, output: Path) -> Tags:
    """The tags of a file, and that they fit what events say."""
    found = await read_words(ffmpeg, await recording(ffmpeg, path, content_type), output)
    TagsDescription.model_validate(found.words)
    return found


@pytest.mark.parametrize(
    ("name", "content_type", "form"),
    [
        ("cbr.mp3", "audio/mpeg", ("-id3v2_version", "3")),
        ("vbr.mp3", "audio/mpeg", ("-id3v2_version", "4")),
        ("plain.flac", "audio/flac", ()),
        ("vorbis.ogg", "audio/ogg", ()),
        ("opus.ogg", "audio/ogg", ()),
        ("aac.m4a", "audio/mp4", ()),
        ("alac.m4a", "audio/mp4", ()),
        ("browser.weba", "audio/webm", ()),
    ],
)
async def test_words_of_every_format(
    ffmpeg: Ffmpeg, file_of: Make, output: Path, name: str, content_type: str, form: tuple[str, ...]
) -> None:
    """Whatever a format calls them, and however it codes them."""
    tags = await tags_of(ffmpeg, file_of(words(name, *SAID, form=form)), content_type, output)
    assert {key: value for key, value in FOUND.items() if key in tags.words} == tags.words
    assert {"title", "artist", "album", "album_artist", "date", "genre"} <= set(tags.words)
    assert tags.cover is None


async def test_latin_1_in_every_place_that_has_it(ffmpeg: Ffmpeg, file_of: Make, output: Path) -> None:
    """ID3v1, ID3v2's Latin-1 and a WAV's list, none of which says UTF-8."""
    mp3 = sounds.bare_mp3()
    old = id3v1(title="Für Elise".encode("latin-1"), artist="Dvořák".encode(), year=b"1810")
    tags = await tags_of(ffmpeg, file_of(mp3 + old), "audio/mpeg", output)
    assert (tags.words["title"], tags.words["artist"], tags.words["date"]) == ("Für Elise", "Dvořák", "1810")
    new = id3v2(3, ("TIT2", b"\0" + "Café".encode("latin-1")), ("TPE1", b"\1" + "Ævar".encode("utf-16")))
    tags = await tags_of(ffmpeg, file_of(new + mp3), "audio/mpeg", output)
    assert tags.words == {"title": "Café", "artist": "Ævar"}
    wav = words("s16.wav", "title=XXXX", "artist=ascii")
    tags = await tags_of(ffmpeg, file_of(wav.replace(b"XXXX", b"Caf\xe9")), "audio/wav", output)
    assert tags.words == {"title": "Café", "artist": "ascii"}


HOSTILE = {
    "controls": ("a\x00b\x07c\x1b[31md\x7fe\x85f", {"a", "b", "c"}),
    "bidi": ("gpj.\u202etxt.exe\u2066\u200f", {"gpj.txt.exe"}),
    "lines": ("one\r\n\r\n   two\ttwo  \u2028three ", {"one two two three"}),
    "nothing": ("\u200b\u00ad\ufeff\u2060", {""}),
    "joined": (
        "\U0001f469\u200d\U0001f467 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        {"\U0001f469\u200d\U0001f467 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"},
    ),
    "quotes": ('say "$(id)" `id` \\n {x}; DROP', {'say "$(id)" `id` \\n {x}; DROP'}),
    "markup": ("<script>alert(1)</script>", {"<script>alert(1)</script>"}),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_words(ffmpeg: Ffmpeg, file_of: Make, output: Path, name: str) -> None:
    """Nothing that can't be seen is left, and nothing else is lost: markup is for whoever shows it to escape."""
    text, allowed = HOSTILE[name]
    tag = id3v2(4, ("TIT2", b"\3" + text.encode()), ("TPE1", b"\3honest"))
    tags = await tags_of(ffmpeg, file_of(tag + sounds.bare_mp3()), "audio/mpeg", output)
    title = tags.words.get("title", "")
    assert title in allowed or name == "controls"
    assert title.isprintable() or {unicodedata.category(each) for each in title if not each.isprintable()} <= {"Cf"}
    assert tags.words["artist"] == "honest"


async def test_words_without_end(ffmpeg: Ffmpeg, file_of: Make, output: Path) -> None:
    """A title of a megabyte is cut; a pile of marks is not, nor half of what is no character; the file is read on."""
    huge = id3v2(4, ("TIT2", b"\3" + b"long " * 200_000), ("TALB", b"\3" + ("a" + "\u0301" * 5000).encode()))
    tags = await tags_of(ffmpeg, file_of(huge + sounds.bare_mp3()), "audio/mpeg", output)
    assert tags.words["title"] == ("long " * 60)[:256].strip()
    assert len(tags.words["album"]) < 10
    broken = id3v2(4, ("TIT2", b"\1\xff\xfe\x3d\xd8a\0"), ("TPE1", b"\3\xff\xfe\xf0\x9f"), ("TALB", b"\3good"))
    tags = await tags_of(ffmpeg, file_of(broken + sounds.bare_mp3()), "audio/mpeg", output)
    assert tags.words["album"] == "good"
    for text in tags.words.values():
        assert text.encode().decode() == text
    assert all(len(text) <= LONGEST[key] for key, text in tags.words.items())


async def test_a_name_that_looks_like_another_field(ffmpeg: Ffmpeg, file_of: Make, output: Path) -> None:
    """A value with line ends and our own syntax in it stays one value."""
    text = 'x"\nformat.tags.artist="forged'
    tag = id3v2(4, ("TIT2", b"\3" + text.encode()))
    tags = await tags_of(ffmpeg, file_of(tag + sounds.bare_mp3()), "audio/mpeg", output)
    assert tags.words == {"title": 'x" format.tags.artist="forged'}


async def test_nothing_is_said(ffmpeg: Ffmpeg, file_of: Make, output: Path) -> None:
    """Formats without tags have none."""
    for name in ("adts.aac", "s16.wav"):
        tags = await tags_of(ffmpeg, file_of(sounds.sound(name)), sounds.TYPE[name], output)
        assert tags == Tags({}, None)


async def test_covers_as_they_are_attached(ffmpeg: Ffmpeg, file_of: Make, output: Path) -> None:
    """The front cover, whichever comes first, byte for byte: ID3 2.3 and 2.4, FLAC and M4A."""
    front, back = sounds.photo(), sounds.photo((64, 64))
    for version in (3, 4):
        body = id3v2(version, picture_frame(back, 4), picture_frame(front, 3)) + sounds.bare_mp3()
        assert await cover_of(ffmpeg, file_of(body), "audio/mpeg", output) == front
    alone = id3v2(4, picture_frame(back, 0)) + sounds.bare_mp3()
    assert await cover_of(ffmpeg, file_of(alone), "audio/mpeg", output) == back
    art = file_of(front)
    attached = ("-i", str(art), "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic")
    for name, content_type in (("covered.flac", "audio/flac"), ("covered.m4a", "audio/mp4")):
        assert await cover_of(ffmpeg, file_of(made(name, *sounds.sweep(), *attached)), content_type, output) == front


async def cover_of(ffmpeg: Ffmpeg, path: Path, content_type: str, output: Path) -> bytes:
    """The bytes of a file's cover."""
    tags = await tags_of(ffmpeg, path, content_type, output)
    assert tags.cover is not None
    cover = await take_cover(ffmpeg, await recording(ffmpeg, path, content_type), tags.cover, output)
    assert cover is not None
    content = cover.read_bytes()
    cover.unlink()
    return content
