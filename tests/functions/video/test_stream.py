"""A video on its way to players, on the real servers: planned, cut, encoded, packaged, announced."""

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cli.application import subject
from events import failpoints
from events.envelope import HEADERS, begin
from functions.discard import discard
from functions.video import encode_audio, encode_chunk, package_video, plan_video
from infra.context import Services
from infra.local.threaded import ThreadedStack
from infra.objects import Objects
from schemas.document import event_name
from schemas.events import Cut, Deleted, Done, Encoded, MediaEvent, Planned, Playable, Promoted
from schemas.objects import ObjectRef
from schemas.plan import mark, marked
from schemas.renditions import StreamDescription
from tests.infra.video.making import small
from tests.samples import av, seeing, videos
from tests.system import System, connected, context, poll, provisioned, working

PATIENCE = 90.0
PROFILE = small()
LONG = small(chunk_seconds=30)


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works, and videos are streamed."""
    async with provisioned(stack, video=PROFILE) as provided:
        yield provided


async def promoted(system: System, name: str = "h264.mp4", profile: Any = PROFILE) -> Promoted:
    """A video that was let in, and of which nothing is made yet."""
    async with working(system, ["receive", "identify", "scan", "probe", "promote", "finish", "discard"], video=profile):
        media_id = await system.upload(videos.video(name), _content_type(name))
        await system.happens(media_id, "discarded", patience=PATIENCE)
        return Promoted.model_validate((await system.happens(media_id, "promoted"))["data"])


def _content_type(name: str) -> str:
    return {"mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm"}[name.rpartition(".")[2]]


async def all_of(outputs: AsyncIterator[Any]) -> list[Any]:
    """What a function yields."""
    return [output async for output in outputs]


async def stored(objects: Objects, prefix: str) -> dict[str, str]:
    """Every object under a prefix, and its ETag: the MD5 of its bytes."""
    found: dict[str, str] = {}
    async for entry in objects.list(prefix):
        info = await objects.head(entry.key)
        assert info
        found[entry.key.removeprefix(prefix)] = info.etag
    return found


async def downloaded(objects: Objects, media_id: str, into: Path) -> None:
    """A stream as a player would fetch it, in a folder."""
    prefix = f"permanent/{media_id}/stream/"
    async for entry in objects.list(prefix):
        (into / entry.key.removeprefix(prefix)).write_bytes(await _read(objects, entry.key))


async def _read(objects: Objects, key: str) -> bytes:
    return await objects.get(ObjectRef(bucket=objects.bucket, key=key, size=0))


class Steps:
    """The functions called one by one, as deliveries of one run would."""

    def __init__(self, services: Services, event: MediaEvent) -> None:
        self.services, self.media_id = services, event.media.media_id

    def context(self, function: str) -> Any:
        """What a function gets beside its event."""
        return context(self.services, function, self.media_id)

    async def plan(self, event: Promoted) -> tuple[Planned, list[Cut]]:
        """The plan and its cuts."""
        planned, *cuts = await all_of(plan_video(event, self.context("plan_video")))
        return planned, cuts

    async def chunk(self, cut: Cut) -> Encoded | None:
        """One piece."""
        return await encode_chunk(cut, self.context("encode_chunk"))

    async def sound(self, planned: Planned) -> Encoded | None:
        """The sound."""
        return await encode_audio(planned, self.context("encode_audio"))

    async def encoded(self, event: Promoted, chunks: int | None = None) -> Encoded:
        """Encode all pieces, or the first ones, then the sound: what it says."""
        planned, cuts = await self.plan(event)
        for cut in cuts[:chunks]:
            await self.chunk(cut)
        sound = await self.sound(planned)
        assert sound
        return sound

    async def package(self, encoded: Encoded) -> list[Playable | Done]:
        """What there is to package."""
        return await all_of(package_video(encoded, self.context("package_video")))


async def test_from_upload_to_ready(system: System, tmp_path: Path) -> None:
    """Planned, cut, encoded in pieces, playable, then done and ready; work/ is empty, and players see every frame."""
    async with working(system, video=PROFILE):
        media_id = await system.upload(videos.video("phone-90.mov"), "video/quicktime")
        await system.happens(media_id, "ready", patience=PATIENCE)
        await poll(lambda: _discarded(system, media_id))
    names = [event_name(event) for event in await system.events(media_id)]
    assert names.index("planned") < names.index("cut") < names.index("encoded") < names.index("playable")
    assert names.index("playable") < names.index("done") < names.index("ready")
    assert names.count("done") == names.count("playable") == names.count("ready") == 1
    assert [key for key in await system.keys(media_id) if key.startswith("work/")] == []
    done = Done.model_validate((await system.happens(media_id, "done"))["data"])
    assert isinstance(done.description, StreamDescription)
    assert (done.description.frames, done.description.segments) == (50, 2)
    listed = {rendition.name: rendition for rendition in done.renditions}
    assert set(listed) == {
        *("stream/master.m3u8", "stream/manifest.mpd"),
        *("stream/media_0.m3u8", "stream/media_1.m3u8", "stream/media_2.m3u8"),
    }
    assert (listed["stream/media_2.m3u8"].width, listed["stream/media_2.m3u8"].height) == (180, 320)
    assert [listed[f"stream/media_{number}.m3u8"].quality for number in range(3)] == ["low", None, "high"]
    await downloaded(system.objects, media_id, tmp_path)
    for playlist in ("media_0.m3u8", "media_2.m3u8"):
        assert [frame.number() for frame in seeing.frames(tmp_path / playlist)] == list(range(50))
    command = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "json"]
    command.append(str(tmp_path / "manifest.mpd"))
    played = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    assert sorted(each["codec_name"] for each in json.loads(played.stdout)["streams"]) == ["aac", "h264", "h264"]


async def _discarded(system: System, media_id: str) -> bool:
    events = await system.events(media_id)
    return any(event_name(each) == "discarded" and each["data"]["cause"] == "done" for each in events)


async def test_each_function_twice(system: System) -> None:
    """Whatever is run again says the same and changes not one byte; what is encoded already isn't encoded again."""
    event = await promoted(system)
    async with connected(system, video=PROFILE) as services:
        steps = Steps(services, event)
        planned, cuts = await steps.plan(event)
        assert await steps.plan(event) == (planned, cuts)
        # The size that is to be playable first goes first, in all chunks.
        assert [cut.rungs for cut in cuts] == [("90p",), ("90p",), ("180p",), ("180p",)]
        assert [cut.part() for cut in cuts] == [f"plan_video-{number}" for number in range(4)]
        prefix = f"work/{event.media.media_id}/{planned.plan.hash}/"
        encoded = [await steps.chunk(cut) for cut in cuts]
        sound = await steps.sound(planned)
        assert sound
        before = await stored(system.objects, prefix)
        assert len(before) == 7
        made = await _times(system.objects, prefix)
        assert [await steps.chunk(cut) for cut in cuts] == encoded
        assert await steps.sound(planned) == sound
        assert await _times(system.objects, prefix) == made
        playable, done = await steps.package(sound)
        place = f"permanent/{event.media.media_id}/stream/"
        files = await stored(system.objects, place)
        assert await steps.package(sound) == [done]
        assert await stored(system.objects, place) == files
        assert isinstance(playable, Playable)
        assert done.basis() == f"{event.media.media_id}/{planned.plan.hash}"


async def _times(objects: Objects, prefix: str) -> list[tuple[str, Any]]:
    return [(entry.key, entry.last_modified) async for entry in objects.list(prefix)]


async def test_two_package_at_once(system: System) -> None:
    """Both end well with the same word; one that comes when work/ is gone has nothing to say."""
    event = await promoted(system)
    async with connected(system, video=PROFILE) as services:
        steps = Steps(services, event)
        planned, cuts = await steps.plan(event)
        last = [await steps.chunk(cut) for cut in cuts][-1]
        sound = await steps.sound(planned)
        assert last
        assert sound
        one, other = await asyncio.gather(steps.package(last), steps.package(sound))
        assert one[-1] == other[-1]
        assert isinstance(one[-1], Done)
        async for entry in system.objects.list(f"work/{event.media.media_id}/"):
            await system.objects.delete(entry.key)
        assert await steps.package(sound) == []


async def test_a_short_video_is_decoded_once(system: System) -> None:
    """One chunk is one piece with all sizes; the first size is packaged and said first all the same."""
    event = await promoted(system, profile=LONG)
    async with connected(system, video=LONG) as services:
        steps = Steps(services, event)
        planned, cuts = await steps.plan(event)
        assert [cut.rungs for cut in cuts] == [("90p", "180p")]
        encoded = await steps.chunk(cuts[0])
        assert encoded
        assert await steps.package(encoded) == []
        sound = await steps.sound(planned)
        assert sound
        said = await steps.package(sound)
        assert [type(each) for each in said] == [Playable, Done]
        first = {rendition.name for rendition in said[0].renditions}
        assert "stream/media_2.m3u8" not in first
        assert first < {rendition.name for rendition in said[1].renditions}


async def test_what_is_said_to_be_playable_is_there(system: System) -> None:
    """Whoever comes after one that was killed between manifest and master playlist stores what is still missing."""
    event = await promoted(system)

    def die(name: str) -> None:
        if name == "package_video.manifest":
            raise RuntimeError(name)

    async with connected(system, video=PROFILE) as services:
        steps = Steps(services, event)
        sound = await steps.encoded(event, 2)
        failpoints.install(die)
        try:
            with pytest.raises(RuntimeError):
                await steps.package(sound)
        finally:
            failpoints.install(None)
        (playable,) = await steps.package(sound)
        stored_now = await stored(system.objects, f"permanent/{event.media.media_id}/")
        assert {rendition.name for rendition in playable.renditions} <= set(stored_now)
        assert await steps.package(sound) == []


async def test_a_stream_is_played_until_another_is_whole(system: System) -> None:
    """Made anew under another profile, not one of its files changes before the new ones are all there."""
    event = await promoted(system)
    place = f"permanent/{event.media.media_id}/stream/"
    async with connected(system, video=PROFILE) as services:
        first = Steps(services, event)
        sound = await first.encoded(event)
        assert [type(each) for each in await first.package(sound)] == [Playable, Done]
        before = await stored(system.objects, place)
    async with connected(system, video=small(crf=40)) as services:
        second = Steps(services, event)
        planned, cuts = await second.plan(event)
        said: list[Playable | Done] = []
        sound = await second.sound(planned)
        for cut in cuts:
            assert await stored(system.objects, place) == before
            encoded = await second.chunk(cut)
            assert encoded
            said += await second.package(encoded)
        assert [type(each) for each in said] == [Done]
        assert (await stored(system.objects, place))["master.m3u8"] != before["master.m3u8"]


async def test_who_is_in_the_middle_of_a_stream_plays_on(system: System) -> None:
    """Made anew, its segments stay what and where they were; made anew once more, they are taken away."""
    event = await promoted(system)
    before: list[dict[str, str]] = []
    plans: list[str | None] = []
    for crf in (23, 30, 40):
        async with connected(system, video=small(crf=crf, rungs=PROFILE.rungs[:1])) as services:
            steps = Steps(services, event)
            (done,) = await steps.package(await steps.encoded(event))
            assert isinstance(done, Done)
            assert _stream(done).replaced == (plans[-1] if plans else None)
            plans.append(_stream(done).plan)
            await discard(done, steps.context("discard"))
            before.append(await _segments(system, event))
    first, second, third = before
    assert first.items() < second.items()
    assert first.keys().isdisjoint(third)
    assert third.items() > (second.items() - first.items())


async def test_what_is_being_made_is_not_outdated(system: System) -> None:
    """By whoever is done first: the pieces say that another plan is at work, and then its playlist does."""
    event = await promoted(system)
    dones: list[Done] = []
    for crf in (23, 30, 40):
        async with connected(system, video=small(crf=crf, rungs=PROFILE.rungs[:1])) as services:
            steps = Steps(services, event)
            dones += [each for each in await steps.package(await steps.encoded(event)) if isinstance(each, Done)]
    everything = await _segments(system, event)
    async with connected(system, video=PROFILE) as services:
        context = Steps(services, event).context("discard")
        # It took the place of the first; the third one's pieces are there still.
        await discard(dones[1], context)
        assert await _segments(system, event) == everything
        await discard(dones[0], context)
        await discard(dones[2], context)
    left = {marked(name) for name in await _segments(system, event)}
    assert left == {mark(f"{_stream(done).plan}") for done in dones[1:]}


async def _segments(system: System, event: Promoted) -> dict[str, str]:
    there = await stored(system.objects, f"permanent/{event.media.media_id}/stream/")
    return {name: etag for name, etag in there.items() if marked(name)}


def _stream(done: Done) -> StreamDescription:
    assert isinstance(done.description, StreamDescription)
    return done.description


async def test_what_another_plan_began_with_is_replaced(system: System) -> None:
    """A first size whose plan was never completed gives way to that of the plan that is followed now, once."""
    event = await promoted(system)
    async with connected(system, video=PROFILE) as services:
        first = Steps(services, event)
        sound = await first.encoded(event, 2)
        assert [type(each) for each in await first.package(sound)] == [Playable]
    async with connected(system, video=small(crf=40)) as services:
        second = Steps(services, event)
        sound = await second.encoded(event, 2)
        assert [type(each) for each in await second.package(sound)] == [Playable]
        assert await second.package(sound) == []


async def test_nobody_waits_any_more(system: System) -> None:
    """Of a video that was deleted nothing is encoded, and what came late is taken away."""
    event = await promoted(system)
    media_id = event.media.media_id
    async with connected(system, video=PROFILE) as services:
        steps = Steps(services, event)
        planned, cuts = await steps.plan(event)
        await _delete(system, event)
        assert await steps.chunk(cuts[0]) is None
        assert await steps.sound(planned) is None
        assert (await all_of(plan_video(event, steps.context("plan_video")))) == []
        await system.objects.put(f"work/{media_id}/late", b"late", content_type="video/mp4")
        assert await discard(Encoded.after(cuts[0], piece="0"), steps.context("discard"))
    assert [key for key in await system.keys(media_id) if key.startswith(("work/", "permanent/"))] == []


async def _delete(system: System, event: Promoted) -> None:
    deleted = Deleted(media=event.media, deleted_by="alice")
    envelope = begin(deleted, event_id=f"deleted-{event.media.media_id}", source="gateway", lane="standard")
    await system.bus.publish(subject(deleted, envelope), envelope.encode(), message_id=envelope.id, headers=HEADERS)


async def test_a_damaged_picture_is_left_out(system: System, tmp_path: Path) -> None:
    """One picture that can't be decoded costs that one: the stream is announced, and says what it lacks."""
    damaged = av.with_blank_packets(videos.video("prores.mov"), 30)
    async with working(system, video=PROFILE):
        media_id = await system.upload(damaged, "video/quicktime")
        await system.happens(media_id, "ready", patience=PATIENCE)
    done = Done.model_validate((await system.happens(media_id, "done"))["data"])
    assert isinstance(done.description, StreamDescription)
    assert (done.description.frames, done.description.lost_frames) == (49, 1)
    assert {rendition.frames for rendition in done.renditions} == {None, 49}
    await downloaded(system.objects, media_id, tmp_path)
    shown = [frame.number() for frame in seeing.frames(tmp_path / "media_0.m3u8")]
    assert shown == [number for number in range(50) if number != 30]


async def test_damage_ends_in_a_code(system: System) -> None:
    """A video whose frames can't be decoded is skipped with a code and a sentence, and its other pieces are let be."""
    body = bytearray(videos.video("h264.mp4"))
    at = body.index(b"mdat") + 4 + 8000
    body[at : at + 12000] = b"\xff" * 12000
    async with working(system, video=PROFILE):
        media_id = await system.upload(bytes(body), "video/mp4")
        skipped = await system.happens(media_id, "skipped", patience=PATIENCE)
    assert skipped["data"]["product"] == "stream"
    assert skipped["data"]["code"] in {"corrupt_frames", "corrupt"}
    assert "damaged" in skipped["data"]["reason"]


async def test_progress_is_of_each_rendition(system: System) -> None:
    """Each piece says how far it is, each rendition, all of it, and, once that was measured, how long it will take."""
    event = await promoted(system, "59.94.mov", LONG)
    said: list[dict[str, Any]] = []

    async def hear(_subject: str, data: bytes) -> None:
        said.append(json.loads(data))

    async with connected(system, video=LONG) as services:
        object.__setattr__(services, "signal", hear)
        steps = Steps(services, event)
        _, cuts = await steps.plan(event)
        telling = steps.context("encode_chunk")
        telling._said = 0.0
        await encode_chunk(cuts[0], telling)
        first = [each for each in said if each["function"] == "encode_chunk"]
        assert first
        assert "eta_seconds" not in first[0]
        async for entry in system.objects.list(f"work/{event.media.media_id}/"):
            await system.objects.delete(entry.key)
        telling = steps.context("encode_chunk")
        telling._said = 0.0
        await encode_chunk(cuts[0], telling)
    mine = [each for each in said if each["function"] == "encode_chunk"]
    assert mine[-1]["eta_seconds"] >= 0
    for each in mine:
        assert each["product"] == "stream"
        assert each["part"] == "encode_chunk-0"
        assert set(each["renditions"]) == {"90p", "180p"}
        assert each["overall"] == pytest.approx(each["done"] / each["total"], abs=0.001)
    assert all(before["done"] <= after["done"] for before, after in pairwise(first))


async def test_progress_of_packaging_is_in_bytes(system: System) -> None:
    """Whoever packages says how much of it is fetched and stored, up to all of it, for each that is announced."""
    event = await promoted(system, profile=LONG)
    said: list[dict[str, Any]] = []

    async def hear(_subject: str, data: bytes) -> None:
        said.append(json.loads(data))
        hearing._said = 0.0

    async with connected(system, video=LONG) as services:
        steps = Steps(services, event)
        sound = await steps.encoded(event)
        object.__setattr__(services, "signal", hear)
        hearing = steps.context("package_video")
        hearing._said = 0.0
        assert len(await all_of(package_video(sound, hearing))) == 2
    assert {(each["function"], each["part"], each["product"]) for each in said} == {
        ("package_video", "package_video", "stream")
    }
    anew = [number for number, (before, after) in enumerate(pairwise(said), 1) if after["done"] < before["done"]]
    assert len(anew) == 1
    for each in (said[: anew[0]], said[anew[0] :]):
        assert len({one["total"] for one in each}) == 1
        assert each[0]["done"] < 0.5 * each[0]["total"]
        assert each[-1]["done"] > 0.9 * each[-1]["total"]
