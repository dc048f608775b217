"""HLS and DASH as players get them: real players over HTTP, from the master playlist to the last packet."""

import asyncio
import gzip
import re
import time
from datetime import datetime, timedelta
from urllib.parse import parse_qs, quote, urljoin, urlsplit
from xml.etree import ElementTree as ET

import aiohttp
import pytest

from infra.local.threaded import ThreadedStack
from tests.gateway.conftest import running
from tests.gateway.delivering import Delivered, ffprobe
from tests.gateway.running import Running
from tests.samples.streams import FRAMES, RUNGS, SECONDS, stream


async def video(gateway: Running, stack: ThreadedStack) -> Delivered:
    """A promoted video that promises a stream."""
    return await Delivered.of(gateway, stack, "video/mp4", b"\0\0\0\x18ftypmp42", promised=["stream"])


@pytest.mark.parametrize("delivery", ["redirect", "proxy"])
@pytest.mark.parametrize("entry", ["hls", "dash"])
async def test_a_player_plays_it(provisioned: ThreadedStack, delivery: str, entry: str) -> None:
    """With no header at all, FFmpeg finds every rung and the sound behind the link, and reads each frame once."""
    async with running(provisioned, delivery=delivery) as gateway:
        one = await video(gateway, provisioned)
        await one.streamed()
        link = (await one.status())[entry]
        found = await asyncio.to_thread(ffprobe, link)
    rungs = [each for each in found["streams"] if each["codec_type"] == "video"]
    assert {(each["width"], each["height"]) for each in rungs} == set(RUNGS)
    assert {int(each["nb_read_packets"]) for each in rungs} == {FRAMES}
    assert [each["codec_name"] for each in found["streams"] if each["codec_type"] == "audio"] == ["aac"]


async def text(gateway: Running, url: str, **headers: str) -> str:
    """What a player reads at an address."""
    async with gateway.http.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.text()


def addresses(playlist: str, url: str) -> list[str]:
    """Every address in an HLS playlist, whole."""
    named = re.findall(r'URI="([^"]+)"', playlist) + [
        line for line in playlist.split("\n") if line[:1] not in ("", "#")
    ]
    return [urljoin(url, each) for each in named]


async def test_every_address_in_a_playlist_works_as_it_stands(gateway: Running, provisioned: ThreadedStack) -> None:
    """From the master by its links alone to each segment's bytes, in the order of the stored playlists."""
    one = await video(gateway, provisioned)
    await one.streamed()
    body = await one.status()
    assert body["playable"] is True
    seen: set[str] = set()
    for playlist in addresses(await text(gateway, body["hls"]), body["hls"]):
        for address in addresses(await text(gateway, playlist), playlist):
            async with gateway.http.get(address, headers={"Origin": "https://app.example"}) as response:
                assert response.status == 200
                assert response.headers["access-control-allow-origin"] in {"*", "https://app.example"}
                name = urlsplit(address).path.rpartition("/")[2]
                assert await response.read() == stream()[name]
                seen.add(name)
    assert seen == {name for name in stream() if name.endswith((".m4s", ".mp4"))}


@pytest.mark.parametrize("path", ["hls/stream/master.m3u8", "files/stream/master.m3u8", "files/stream/media_0.m3u8"])
async def test_a_name_may_be_escaped_whole(gateway: Running, provisioned: ThreadedStack, path: str) -> None:
    """Clients that are generated from the API's description write `%2F`: addresses lead from there as from `/`."""
    one = await video(gateway, provisioned)
    await one.streamed()
    folder, _, name = path.partition("/")
    query = urlsplit(str((await one.status())["hls"])).query
    asked = gateway.url + one.path(f"/{folder}/{quote(name, safe='')}?{query}")
    async with gateway.http.get(asked) as response:
        listed = addresses(await response.text(), str(response.url))
        assert response.status == 200
        assert "%2F" in str(response.history[0].url if response.history else response.url)
    for address in listed:
        async with gateway.http.get(address) as response:
            assert response.status == 200


async def test_dash_segments_are_redirected_one_by_one(gateway: Running, provisioned: ThreadedStack) -> None:
    """The template has the grant, and what it stands for is at the gateway, which redirects to the signed bytes."""
    one = await video(gateway, provisioned)
    await one.streamed()
    link = (await one.status())["dash"]
    manifest = ET.fromstring(await text(gateway, link))
    templates = [each.attrib for each in manifest.iter("{urn:mpeg:dash:schema:mpd:2011}SegmentTemplate")]
    assert len(templates) == 3
    for number, template in enumerate(templates):
        for name, expected in (("initialization", f"init-{number}.mp4"), ("media", f"seg-{number}-00002.m4s")):
            filled = template[name].replace("$RepresentationID$", str(number)).replace("$Number%05d$", "00002")
            async with gateway.http.get(urljoin(link, filled)) as response:
                assert [each.status for each in response.history] == [307]
                assert await response.read() == stream()[expected]


async def test_a_video_plays_before_it_is_whole(gateway: Running, provisioned: ThreadedStack) -> None:
    """From `playable` on there are links; who began with that keeps to it when the whole stream has come."""
    one = await video(gateway, provisioned)
    body = await one.status()
    assert (body["playable"], body["hls"], body["dash"], body["state"]) == (False, None, None, "processing")
    assert (await gateway.call("GET", one.path("/hls/master.m3u8"))).status == 404
    await one.streamed("first", playable=True)
    body = await one.status()
    assert (body["playable"], body["state"]) == (True, "processing")
    before = addresses(await text(gateway, body["hls"]), body["hls"])
    assert all("/hls/first/" in address for address in before)
    await one.streamed()
    after = addresses(await text(gateway, body["hls"]), body["hls"])
    assert all("/hls/stream/" in address for address in after)
    for address in (*before, *after):
        assert "#EXTINF" in await text(gateway, address)


async def test_links_live_as_long_as_the_video_and_more(gateway: Running, provisioned: ThreadedStack) -> None:
    """Grant and segments are over together: `play_seconds` and the video's length from now, a quarter more at most."""
    one = await video(gateway, provisioned)
    await one.streamed()
    body = await one.status()
    left = datetime.fromisoformat(body["links_expire_at"]).timestamp() - time.time()
    wanted = gateway.settings.play_seconds + SECONDS
    assert wanted <= left <= wanted * 1.26
    playlist = addresses(await text(gateway, body["hls"]), body["hls"])[0]
    segment = parse_qs(urlsplit(addresses(await text(gateway, playlist), playlist)[-1]).query)
    begun = datetime.strptime(segment["X-Amz-Date"][0], "%Y%m%dT%H%M%S%z")
    over = begun + timedelta(seconds=int(segment["X-Amz-Expires"][0]))
    assert over == datetime.fromisoformat(body["links_expire_at"])
    assert begun.timestamp() <= time.time()


async def test_a_long_playlist_is_packed_and_known_again(gateway: Running, provisioned: ThreadedStack) -> None:
    """Twelve hours: 7,200 signed segments, a fifth of the bytes for who takes gzip, and 304 for who has them."""
    one = await video(gateway, provisioned)
    await one.streamed()
    names = [f"seg-0-{number:05d}.m4s" for number in range(1, 7201)]
    lines = ["#EXTM3U", '#EXT-X-MAP:URI="init-0.mp4"']
    lines += [line for name in names for line in ("#EXTINF:6.000000,", "#EXT-X-PROGRAM-DATE-TIME:now", name)]
    await one.put({f"permanent/{one.media_id}/stream/media_0.m3u8": "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()})
    link = str((await one.status())["hls"])
    path = one.path(f"/hls/stream/media_0.m3u8?{urlsplit(link).query}")
    plain = await gateway.call("GET", path, token="", headers={"Accept-Encoding": "identity"})
    listed = [urlsplit(each).path.rpartition("/")[2] for each in addresses(plain.body.decode(), gateway.url)]
    assert listed == ["init-0.mp4", *names]
    assert b"PROGRAM-DATE-TIME" not in plain.body
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        async with http.get(f"{gateway.url}{path}", headers={"Accept-Encoding": "gzip"}) as response:
            packed, headers = await response.read(), response.headers
        assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
        assert gzip.decompress(packed) == plain.body
        assert len(packed) < len(plain.body) / 5
        known = {"Accept-Encoding": "gzip", "If-None-Match": headers["etag"]}
        async with http.get(f"{gateway.url}{path}", headers=known) as response:
            assert (response.status, await response.read()) == (304, b"")
        for accepted, is_packed in (("br, GZIP;q=0.5", True), ("gzip;q=0, identity", False), ("gzip; q=0.000", False)):
            async with http.head(f"{gateway.url}{path}", headers={"Accept-Encoding": accepted}) as response:
                assert ("content-encoding" in response.headers) == is_packed, accepted
    assert plain.headers["etag"] != headers["etag"]
    head = await gateway.call("HEAD", path, token="", headers={"Accept-Encoding": "identity"})
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(plain.body)), b"")


async def test_a_stored_playlist_is_not_trusted(gateway: Running, provisioned: ThreadedStack) -> None:
    """What names anything but files beside it is not handed on: a 500 that says whose fault it is."""
    one = await video(gateway, provisioned)
    await one.streamed()
    folder = f"permanent/{one.media_id}/stream"
    evil = {
        "master.m3u8": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttps://evil.example/media_0.m3u8\n",
        "media_0.m3u8": b"#EXTM3U\n#EXTINF:1.0,\nfile:///etc/passwd\n",
        "manifest.mpd": stream()["manifest.mpd"].replace(b"init-", b"https://evil.example/init-"),
    }
    await one.put({f"{folder}/{name}": body for name, body in evil.items()})
    for path in ("/hls/master.m3u8", "/hls/media_0.m3u8", "/dash/manifest.mpd"):
        answer = await gateway.call("GET", one.path(path))
        assert (answer.status, answer.body["type"]) == (500, "urn:tidegate:problem:playlist_broken")
        assert "evil" not in str(answer.body)
    await one.put({f"{folder}/master.m3u8": b"#EXTM3U\n" + b"\n" * (8 * 1024 * 1024)})
    assert (await gateway.call("GET", one.path("/hls/master.m3u8"))).status == 500


async def test_a_stored_playlist_s_own_address_leads_to_the_signed_one(
    gateway: Running, provisioned: ThreadedStack
) -> None:
    """As `/files/stream/master.m3u8` it is redirected to where players get it, with the grant it came with."""
    one = await video(gateway, provisioned)
    await one.streamed()
    listed = {each["name"]: each["url"] for each in (await one.status())["renditions"]}
    for name in ("master.m3u8", "manifest.mpd", "media_2.m3u8"):
        answer = await gateway.call("GET", one.path(f"/files/stream/{name}"))
        assert answer.status == 200
        assert b"grant=" in answer.body or b"X-Amz-Signature" in answer.body
    async with gateway.http.get(listed["stream/master.m3u8"]) as response:
        assert (response.status, response.headers["content-type"]) == (200, "application/vnd.apple.mpegurl")
