"""Files that would have FFmpeg read other files, or fetch from elsewhere: they stay what they are, broken."""

import asyncio
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg, probe_recording
from infra.ffmpeg.sources import CONTAINERS
from infra.settings import Settings
from tests.samples import av

Make = Callable[[bytes], Path]

PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{0}\n#EXTINF:10,\n{0}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{0}'\nfile '{0}'\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{0}</BaseURL>'
    "<SegmentBase/></Representation></AdaptationSet></Period></MPD>"
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Who would hear of it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def _heard(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/segment.mp4"


async def _refused(ffmpeg: Ffmpeg, file: Path, content_type: str) -> str:
    with pytest.raises(DecodeRejected) as rejected:
        await probe_recording(ffmpeg, file, content_type)
    assert rejected.value.code in {"corrupt", "truncated", "unsupported_codec"}
    return rejected.value.reason


def test_the_trap_works(file_of: Make, listener: socket.socket) -> None:
    """FFprobe left to itself does fetch what a playlist named .mp4 says: without this the tests below prove nothing."""
    trap = file_of(PLAYLIST.format(_url(listener)).encode())
    subprocess.run(
        ["ffprobe", "-v", "quiet", "-rw_timeout", "100000", "-protocol_whitelist", "file,http,tcp", trap], check=False
    )
    assert _heard(listener)


@pytest.mark.parametrize("sandbox", ["required", "rlimits"])
@pytest.mark.parametrize("script", [PLAYLIST, CONCAT, DASH, SDP], ids=["hls", "concat", "dash", "sdp"])
async def test_a_playlist_fetches_nothing(file_of: Make, listener: socket.socket, script: str, sandbox: str) -> None:
    """Whatever it is named: nothing connects, and what it is taken for has no such format."""
    ffmpeg = Ffmpeg(Settings.model_validate({"sandbox": sandbox}))
    file = file_of(script.format(_url(listener)).encode())
    for content_type in ("video/mp4", "video/webm", "audio/mpeg"):
        await _refused(ffmpeg, file, content_type)
    assert not _heard(listener)


@pytest.mark.parametrize("content_type", CONTAINERS)
async def test_a_playlist_reads_no_file(ffmpeg: Ffmpeg, file_of: Make, content_type: str) -> None:
    """Not even a good recording that anybody might read, nor the playlist's own file once more."""
    canary = file_of(av.media("plain.mp4"))
    for script, target in ((PLAYLIST, f"file:{canary}"), (CONCAT, "/input"), (PLAYLIST, "file:///etc/passwd")):
        reason = await _refused(ffmpeg, file_of(script.format(target).encode()), content_type)
        assert "root:" not in reason
        assert str(canary) not in reason


async def test_neighbours_of_hostile_files_are_unharmed(ffmpeg: Ffmpeg, file_of: Make, listener: socket.socket) -> None:
    """Good recordings beside them are probed as ever."""
    good = file_of(av.media("plain.mp3"))
    bad = [
        file_of(PLAYLIST.format(_url(listener)).encode()),
        file_of(av.sampled(av.media("silent.mp4"), 1_000_000)),
        file_of(b""),
    ]
    ended = await asyncio.gather(
        *(_refused(ffmpeg, file, "video/mp4") for file in bad),
        *(probe_recording(ffmpeg, good, "audio/mpeg") for _ in range(6)),
    )
    assert [each.container for each in ended[3:] if not isinstance(each, str)] == ["mp3"] * 6
