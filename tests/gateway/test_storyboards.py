"""Storyboards as players get them: from the cues by their links alone to the pictures."""

from urllib.parse import urldefrag, urljoin

import pytest

from gateway.cues import linked
from gateway.playlists import PlaylistBroken
from infra.local.threaded import ThreadedStack
from infra.video.storyboard import webvtt
from tests.gateway.conftest import running
from tests.gateway.delivering import Delivered
from tests.gateway.running import Running

PLACES = ["storyboard-0.jpg#xywh=0,0,160,90", "storyboard-0.jpg#xywh=160,0,160,90", "storyboard-1.jpg#xywh=0,0,160,90"]
CUES = webvtt([0, 2, 4], 5.5, PLACES)
SHEETS = {"storyboard-0.jpg": b"\xff\xd8 the first \xff\xd9", "storyboard-1.jpg": b"\xff\xd8 the second \xff\xd9"}


async def video(gateway: Running, stack: ThreadedStack) -> Delivered:
    """A promoted video that promises a storyboard."""
    return await Delivered.of(gateway, stack, "video/mp4", b"\0\0\0\x18ftypmp42", optional=["storyboard"])


async def drawn(gateway: Running, stack: ThreadedStack, cues: str = CUES) -> Delivered:
    """A video whose storyboard is there."""
    one = await video(gateway, stack)
    await one.made("storyboard", {**SHEETS, "storyboard.vtt": cues.encode()})
    return one


@pytest.mark.parametrize("delivery", ["redirect", "proxy"])
async def test_every_picture_is_found(provisioned: ThreadedStack, delivery: str) -> None:
    """Whoever has the cues' address has the sheets': no header, no other link, each with its part."""
    async with running(provisioned, delivery=delivery) as gateway:
        one = await drawn(gateway, provisioned)
        listed = {each["name"]: each["url"] for each in (await one.status())["renditions"]}
        async with gateway.http.get(listed["storyboard.vtt"]) as answer:
            assert (answer.status, answer.headers["content-type"]) == (200, "text/vtt")
            text = await answer.text()
        assert [line for line in text.split("\n") if "#" not in line] == [
            line for line in CUES.split("\n") if "#" not in line
        ]
        pictures = [line for line in text.split("\n") if "#" in line]
        found = [urldefrag(urljoin(listed["storyboard.vtt"], picture)) for picture in pictures]
        assert [part for _, part in found] == [place.partition("#")[2] for place in PLACES]
        for (url, _), place in zip(found, PLACES, strict=True):
            async with gateway.http.get(url) as answer:
                assert await answer.read() == SHEETS[place.partition("#")[0]]


async def test_it_is_found_among_the_files(gateway: Running, provisioned: ThreadedStack) -> None:
    """By its name as well, with a token: there it leads to the cues with addresses in them."""
    one = await drawn(gateway, provisioned)
    answer = await gateway.call("GET", one.path("/files/storyboard.vtt"))
    assert answer.status == 200
    assert b"Signature" in answer.body


@pytest.mark.parametrize("name", ["storyboard.vtt", "storyboard-0.jpg", "original", "master.m3u8"])
async def test_what_is_none_is_not_found(gateway: Running, provisioned: ThreadedStack, name: str) -> None:
    """A name of something else, or of what isn't drawn yet."""
    one = await video(gateway, provisioned)
    answer = await gateway.call("GET", one.path(f"/vtt/{name}"))
    assert (answer.status, answer.body["type"]) == (404, "urn:tidegate:problem:storyboard_not_found")


async def test_somebody_elses_cues_are_not_handed_on(gateway: Running, provisioned: ThreadedStack) -> None:
    """What no function of Tidegate's writes might lead anywhere."""
    one = await drawn(gateway, provisioned, CUES.replace("storyboard-1.jpg", "https://evil.example/1.jpg"))
    answer = await gateway.call("GET", one.path("/vtt/storyboard.vtt"))
    assert (answer.status, answer.body["type"]) == (500, "urn:tidegate:problem:playlist_broken")


@pytest.mark.parametrize(
    "line",
    [
        *("NOTE", "STYLE", "::cue { }", "../storyboard-0.jpg#xywh=0,0,1,1", "storyboard-0.jpg", "a.jpg?b#xywh=0,0,1,1"),
        *("00:00:00.000 --> 00:00:02.000 align:start", "storyboard-0.jpg#xywh=percent:0,0,1,1", "WEBVTT by somebody"),
    ],
)
def test_only_what_is_written_here_is_read(line: str) -> None:
    """A line that is none of a storyboard's, wherever it stands."""
    with pytest.raises(PlaylistBroken, match="line 1 "):
        linked(f"{line}\n{CUES}", str)
