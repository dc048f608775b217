"""Stored playlists and manifests: what FFmpeg writes is read, with every address replaced; anything else is refused."""

import re
from xml.etree import ElementTree as ET

import pytest

from gateway.dash import manifest
from gateway.playlists import PlaylistBroken, master, media
from tests.samples.streams import stream


def link(name: str) -> str:
    """An address."""
    return f"https://cdn.example/{name}?s=1"


def test_what_ffmpeg_writes_is_read() -> None:
    """Every name has an address and the rest is as it was, but for when it was encoded."""
    files = {name: body.decode() for name, body in stream().items() if name.endswith((".m3u8", ".mpd"))}
    written = master(files["master.m3u8"], link)
    assert re.sub(r"https://cdn\.example/([^?]+)\?s=1", r"\1", written) == re.sub("\n+", "\n", files["master.m3u8"])
    assert written.count(link("media_0.m3u8")) == 1
    kept = [line for line in files["media_0.m3u8"].split("\n") if line and "PROGRAM-DATE" not in line]
    lines = list(media(files["media_0.m3u8"], link))
    assert [re.sub(r"https://cdn\.example/([^?]+)\?s=1", r"\1", line) for line in lines] == kept
    assert sum("cdn.example" in line for line in lines) == 5
    dash = manifest(stream()["manifest.mpd"], link)
    assert dash.count(b"https://cdn.example/seg-$RepresentationID$-$Number%05d$.m4s?s=1") == 3
    assert b"schemaLocation" not in dash
    assert [each.attrib.get("d") for each in ET.fromstring(dash).iter() if each.tag.endswith("}S")] == [
        each.attrib.get("d") for each in ET.fromstring(stream()["manifest.mpd"]).iter() if each.tag.endswith("}S")
    ]


NAMES = (
    "https://evil.example/media_0.m3u8",
    "//evil.example/media_0.m3u8",
    "../media_0.m3u8",
    "/etc/passwd",
    "a/media_0.m3u8",
    "media_0.m3u8?x=1",
    "media_0.m3u8#x",
    "MEDIA.m3u8",
    "media_0.m3u8 ",
    "media%5f0.m3u8",
    ".m3u8",
    "data:,x",
    "x" * 60 + ".m3u8",
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\ufeff#EXTM3U\n",
        "#EXTM3U8\n",
        "#EXTM3U\n",
        "#EXTM3U\nmedia_0.m3u8\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-VERSION:7\n",
        '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,URI2="x"\nmedia_0.m3u8\n',
        '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="a\nmedia_0.m3u8\n',
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1;x\nmedia_0.m3u8\n",
        '#EXTM3U\n#EXT-X-SESSION-KEY:METHOD=AES-128,URI="https://evil.example"\n',
        '#EXTM3U\n#EXT-X-DEFINE:NAME="a",VALUE="b"\n',
        *(f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{name}\n" for name in NAMES),
        *(f'#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI="{name}"\n' for name in NAMES),
    ],
)
def test_a_master_that_is_none_is_refused(text: str) -> None:
    """Unknown tags and attributes, addresses, paths, and what ends too early."""
    with pytest.raises(PlaylistBroken):
        master(text, link)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#EXTM3U\nseg-0-00001.m4s\n",
        "#EXTM3U\n#EXTINF:1.0,\nseg-0-00001.m4s\nseg-0-00002.m4s\n",
        "#EXTM3U\n#EXTINF:-1,\nseg-0-00001.m4s\n",
        "#EXTM3U\n#EXTINF:1.0,title\nseg-0-00001.m4s\n",
        '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="https://evil.example/key"\n',
        '#EXTM3U\n#EXT-X-MAP:URI="https://evil.example/init-0.mp4"\n',
        '#EXTM3U\n#EXT-X-MAP:URI="init-0.mp4",BYTERANGE="1@0"\n',
        '#EXTM3U\n#EXT-X-MAP:URI="../init-0.mp4"\n',
        "#EXTM3U\n#EXT-X-BYTERANGE:1@0\n",
        *(f"#EXTM3U\n#EXTINF:1.0,\n{name.replace('m3u8', 'm4s')}\n" for name in NAMES),
    ],
)
def test_a_media_playlist_that_is_none_is_refused(text: str) -> None:
    """Keys, ranges, titles, addresses, paths, and segments without a length."""
    with pytest.raises(PlaylistBroken):
        list(media(text, link))


GOOD = stream()["manifest.mpd"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<MPD/>",
        GOOD[:-10],
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + GOOD,
        GOOD.replace(b'initialization="init-', b'initialization="https://evil.example/init-'),
        GOOD.replace(b'media="seg-', b'media="../seg-'),
        GOOD.replace(b'media="seg-$RepresentationID$', b'media="seg-$Bandwidth$'),
        GOOD.replace(b"$Number%05d$", b"$Time$"),
        GOOD.replace(b'media="seg-', b'media2="seg-'),
        GOOD.replace(b"<ProgramInformation>", b"<BaseURL>https://evil.example/</BaseURL><ProgramInformation>"),
        GOOD.replace(b"<ProgramInformation>", b"<Location>x</Location><ProgramInformation>"),
        GOOD.replace(b"<ProgramInformation>", b"<ProgramInformation>https://evil.example"),
        GOOD.replace(b'type="static"', b'type="https://evil.example"'),
        GOOD.replace(b'type="static"', b'type="//evil.example"'),
        GOOD.replace(b'type="static"', b'type="&#34;&lt;script&gt;"'),
        GOOD.replace(b"</MPD>", b" " * (8 * 1024 * 1024) + b"</MPD>"),
    ],
    ids=range(16),
)
def test_a_manifest_that_is_none_is_refused(text: bytes) -> None:
    """Declarations, elements and values that FFmpeg doesn't write, templates of other names, and what is too large."""
    with pytest.raises(PlaylistBroken):
        manifest(text, link)


def test_what_a_manifest_links_elsewhere_is_left_out() -> None:
    """Attributes of other namespaces, which could load anything, are not handed on."""
    text = GOOD.replace(b'type="static"', b'type="static" xlink:href="https://evil.example/period"')
    assert b"evil" not in manifest(text, link)
