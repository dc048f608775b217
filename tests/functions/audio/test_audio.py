"""Sounds from their upload to `ready`: the sound, its waveform, its tags and its cover."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image
from pydantic_core import from_json

from bench.processes import descendants
from events.registry import load
from functions.audio import draw_long_waveform, draw_waveform, read_tags, render_long_sound, render_sound
from functions.audio.recordings import QUICK_BYTES, QUICK_SECONDS, is_quick
from infra.local.threaded import ThreadedStack
from schemas.document import event_name
from schemas.events import Done, Promoted
from schemas.profiles import AudioProfile
from schemas.subjects import progress
from tests.faults.burst import BURST, worker
from tests.functions.produced import files, made, outcomes, promoted
from tests.samples import sounds
from tests.samples.av import RECORDINGS
from tests.samples.av import made as made_by_ffmpeg
from tests.system import System, connected, context, poll, provisioned, working

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUDIO = AudioProfile(sound="required", formats=("aac", "opus"), loudness_lufs=-16.0, cover_longest=100)
FILES = {"sound.m4a", "sound.opus", "waveform.json", "waveform.webp", "cover.webp", "cover.jpg"}
SONG = (
    sounds.id3v2(4, ("TIT2", b"\3A title\0"), ("TPE1", b"\0Bj\xf6rk"), sounds.picture_frame(sounds.photo((640, 480))))
    + sounds.bare_mp3()
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(stack: ThreadedStack) -> AsyncIterator[System]:
    """A provisioned stack."""
    async with provisioned(stack, audio=AUDIO) as provided:
        yield provided


async def ready(system: System, body: bytes, content_type: str, *, profile: AudioProfile = AUDIO) -> str:
    """Upload a file and wait until it is ready; the media's id."""
    async with working(system, audio=profile):
        media_id = await system.upload(body, content_type)
        terminal = await system.ended(media_id)
    assert event_name(terminal) == "ready", terminal
    return media_id


async def test_from_upload_to_ready(system: System) -> None:
    """Each product is done, its files lie where their names say and are what the events say of them."""
    media_id = await ready(system, SONG, "audio/mpeg")
    ended = await outcomes(system, media_id)
    assert {name: event["data"]["required"] for name, event in ended.items()} == {
        "sound": True,
        "waveform": False,
        "tags": False,
    }
    assert set(await made(system, media_id)) == FILES
    sound = ended["sound"]["data"]
    assert sound["description"]["normalized"]
    assert sound["description"]["loudness"]["integrated_lufs"] < -5
    for each in sound["renditions"]:
        assert each["duration_seconds"] == pytest.approx(1, abs=0.1)
        assert each["bit_rate"] > 10_000
        assert each["quality"] == "standard"
    waveform = await files(system, ended["waveform"])
    content = from_json(waveform["waveform.json"])
    assert (content["version"], content["bits"], content["sample_rate"]) == (2, 8, 44_100)
    assert len(content["data"]) == 2 * content["length"] * content["channels"]
    with Image.open(io.BytesIO(waveform["waveform.webp"])) as image:
        assert image.size == (1000, 160)
    tags = ended["tags"]["data"]
    assert tags["description"] == {"type": "tags", "title": "A title", "artist": "Björk"}
    for name, body in (await files(system, ended["tags"])).items():
        assert name in {"cover.webp", "cover.jpg"}
        with Image.open(io.BytesIO(body)) as image:
            assert image.size == (100, 75)
            assert not image.getexif().get_ifd(0x8825)
        assert b"Secret" not in body


@pytest.mark.parametrize("name", ["voice.mp3", "voice.ogg"])
async def test_what_others_recorded(system: System, name: str) -> None:
    """A voice, coded by others' programs: as long as it was, with whose it is, in both formats."""
    content_type = {"mp3": "audio/mpeg", "ogg": "audio/ogg"}[name[-3:]]
    ended = await outcomes(system, await ready(system, (RECORDINGS / name).read_bytes(), content_type))
    renditions = ended["sound"]["data"]["renditions"]
    assert [each["duration_seconds"] for each in renditions] == pytest.approx([2.1, 2.1], abs=0.05)
    assert ended["tags"]["data"]["description"] == {"type": "tags", "artist": "Eriberto Mota"}


async def test_twice_is_once(system: System) -> None:
    """Made again, every file is the same, under the same name, and the same is said."""
    media_id = await ready(system, SONG, "audio/mpeg")
    before, keys = await made(system, media_id), await system.keys(media_id)
    event = await promoted(system, media_id)
    said = {name: ended["data"] for name, ended in (await outcomes(system, media_id)).items()}
    async with connected(system, audio=AUDIO) as services:
        again = await asyncio.gather(
            *(make(event, context(services)) for make in (render_sound, draw_waveform, read_tags))
        )
    for done in again:
        assert isinstance(done, Done)
        assert done.model_dump(mode="json", exclude_none=True) == said[done.product] | {
            "media": done.media.model_dump(mode="json", exclude_none=True)
        }
    assert await made(system, media_id) == before
    assert await system.keys(media_id) == keys


async def test_what_is_long_is_done_in_the_background(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """By functions of its own, with the same outcome; who is quick says nothing of it, and the other way round."""
    monkeypatch.setattr("functions.audio.recordings.QUICK_SECONDS", 0.5)
    media_id = await ready(system, sounds.sound("vbr.mp3"), "audio/mpeg")
    ended = await outcomes(system, media_id)
    assert {name: event["source"].rpartition("/")[2] for name, event in ended.items()} == {
        "sound": "render_long_sound",
        "waveform": "draw_long_waveform",
        "tags": "read_tags",
    }
    assert set(await made(system, media_id)) == {"sound.m4a", "sound.opus", "waveform.json", "waveform.webp"}
    event = await promoted(system, media_id)
    async with connected(system, audio=AUDIO) as services:
        assert await render_sound(event, context(services)) is None
        assert await draw_waveform(event, context(services)) is None


async def test_who_is_quick(system: System) -> None:
    """A voice message or a song is; what is longer, or larger than it says to be long, is not."""
    event = await promoted(system, await ready(system, sounds.sound("voice.wav"), "audio/wav"))
    assert is_quick(event)
    for change in ({"probe": event.probe.model_copy(update={"duration_seconds": QUICK_SECONDS + 1})},
                   {"original": event.original.model_copy(update={"size": QUICK_BYTES + 1})}):  # fmt: skip
        long = event.model_copy(update=change)
        assert not is_quick(long)
        async with connected(system, audio=AUDIO) as services:
            assert await render_sound(long, context(services)) is None
            assert await draw_waveform(long, context(services)) is None
            assert await render_long_sound(event, context(services)) is None
            assert await draw_long_waveform(event, context(services)) is None


async def test_only_what_is_promised(system: System) -> None:
    """A profile names products, formats and pictures; what it doesn't name isn't made, by none of the functions."""
    profile = AudioProfile(sound="none", tags="none", waveform_picture="png", waveform_channels="separate")
    media_id = await ready(system, sounds.sound("s16.wav"), "audio/wav", profile=profile)
    produced = await made(system, media_id)
    assert set(produced) == {"waveform.json", "waveform.png"}
    assert from_json(produced["waveform.json"])["channels"] == 2
    nothing = (await promoted(system, media_id)).model_copy(update={"products": ()})
    async with connected(system, audio=profile) as services:
        for make in (render_sound, draw_waveform, read_tags):
            assert await make(nothing, context(services)) is None
    media_id = await ready(
        system, sounds.sound("voice.wav"), "audio/wav", profile=AudioProfile(formats=("webm",), waveform_picture="none")
    )
    assert set(await made(system, media_id)) == {"sound.webm", "waveform.json"}


async def test_a_cover_that_cannot_be_read(system: System) -> None:
    """Is left out; what is said of the sound is said."""
    broken = sounds.id3v2(4, ("TIT2", b"\3Title"), sounds.picture_frame(sounds.photo()[:3000])) + sounds.bare_mp3()
    media_id = await ready(system, broken, "audio/mpeg")
    tags = (await outcomes(system, media_id))["tags"]["data"]
    assert (tags["renditions"], tags["description"]) == ([], {"type": "tags", "title": "Title"})


async def test_a_sound_that_cannot_be_decoded(system: System) -> None:
    """A required product that can't be made fails the media, the others are done; each says why in a sentence."""
    wav = bytearray(sounds.sound("f32.wav"))
    at = wav.index(b"data") + 8
    wav[at:] = b"\xff\xff\xff\x7f" * ((len(wav) - at) // 4)
    async with working(system, audio=AUDIO):
        media_id = await system.upload(bytes(wav), "audio/wav")
        await poll(lambda: _all_ended(system, media_id))
    ended = await outcomes(system, media_id)
    assert event_name(ended["sound"]) == "skipped"
    assert ended["sound"]["data"]["code"] == "corrupt"
    assert ended["sound"]["data"]["reason"].startswith("The file is damaged")
    assert event_name(ended["tags"]) == "done"
    assert (await system.fold(media_id)).state() == "failed"


async def _all_ended(system: System, media_id: str) -> bool:
    fold = await system.fold(media_id)
    return bool(fold.products()) and None not in fold.products().values()


async def test_progress_is_said(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a sound is made, whoever watches hears how far it is, in rising parts of a thousand."""
    monkeypatch.setattr("infra.context.PROGRESS_SECONDS", 0)
    event = await promoted(system, await ready(system, sounds.sound("vbr.mp3"), "audio/mpeg"))
    said: dict[str, list[int]] = {}
    async with connected(system, audio=AUDIO) as services:

        async def signal(subject: str, data: bytes) -> None:
            assert subject == progress(event.media.media_id)
            told = from_json(data)
            assert told["total"] == 1000
            said.setdefault(told["function"], []).append(told["done"])

        for make in (render_sound, draw_waveform):
            ours = context(services, make.__name__, event.media.media_id)
            object.__setattr__(ours, "services", _with_signal(services, signal))
            await make(event, ours)
    assert set(said) == {"render_sound", "draw_waveform"}
    assert all(sounds.rises(parts) and 0 <= parts[0] <= parts[-1] <= 1000 for parts in said.values())


def _with_signal(services: Any, signal: Any) -> Any:
    return replace(services, signal=signal)


TOLD = {
    "audio__sound": "required",
    "audio__waveform": "optional",
    "audio__tags": "optional",
    "audio__formats": '["aac", "opus"]',
    "audio__loudness_lufs": -16,
}
MINUTES = made_by_ffmpeg("minutes.mp3", *sounds.sweep(45), "-c:a", "libmp3lame", "-b:a", "64k")


async def test_a_decoder_that_is_killed(system: System, tmp_path: Path) -> None:
    """FFmpeg, killed by somebody in the middle of its work, is started again: nothing is missing, nothing is left."""
    optional = AUDIO.model_copy(update={"sound": "optional"})
    async with working(system, audio=optional, work_dir=tmp_path):
        media_id = await system.upload(MINUTES, "audio/mpeg")
        (pid, *_) = await poll(lambda: encoders(os.getpid()))
        os.kill(pid, signal.SIGKILL)
        terminal = await system.ended(media_id)
    ended = await outcomes(system, media_id)
    assert event_name(terminal) == "ready"
    assert event_name(ended["sound"]) == "done"
    assert event_name(ended["waveform"]) == "done"
    assert names(tmp_path) == []


async def test_a_worker_that_is_killed(system: System, tmp_path: Path) -> None:
    """Whoever is started in its place makes what is missing, as if nothing had been; and clears up."""
    spool = tmp_path / "spool"
    spool.mkdir()
    run = worker(system.stack, tmp_path, BURST | TOLD | {"work_dir": spool})
    try:
        await run.start()
        media_id = await system.upload(MINUTES, "audio/mpeg")
        at_work = await poll(lambda: encoders(run.pid))
        await run.kill()
        await poll(lambda: not any(words(pid) for pid in at_work))
        assert names(spool)
        await run.start()
        terminal = await system.ended(media_id, patience=90)
        assert event_name(terminal) == "ready"
        assert {event_name(each) for each in (await outcomes(system, media_id)).values()} == {"done"}
    finally:
        await run.stop()
    assert set(await made(system, media_id)) == {"sound.m4a", "sound.opus", "waveform.json", "waveform.webp"}
    assert names(spool) == []


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return [path.name for path in directory.iterdir()]


def encoders(parent: int) -> list[int]:
    """A process's FFmpegs at work on `sound.m4a`, by process id; not the sandbox around them."""
    with suppress(OSError):  # children come and go
        started = {pid: words(pid) for pid in descendants(parent)}
        return [pid for pid, said in started.items() if said[:1] == ["ffmpeg"] and "/output/sound.m4a" in said]
    return []


def words(pid: int) -> list[str]:
    """The command line that a living process was started with, its program without directories."""
    try:
        program, *arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
    return [Path(program).name, *arguments] if program else []


async def test_functions_are_for_sounds_alone(system: System) -> None:
    """None of them ever sees another kind."""
    ours = [each for each in load() if each.name in {"render_sound", "render_long_sound", "draw_waveform",
                                                     "draw_long_waveform", "read_tags"}]  # fmt: skip
    assert len(ours) == 5
    assert {each.kinds for each in ours} == {("audio",)}
    assert {each.name for each in ours if each.background} == {"render_long_sound", "draw_long_waveform"}
    assert all(each.inputs == (Promoted,) and each.cpu == 1 for each in ours)
