"""Peaks: those of every sample of the sound, as another program that decodes it finds them."""

import asyncio
import math
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic_core import from_json, to_json

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg
from infra.ffmpeg.peaks import Peaks, find_peaks
from infra.settings import Settings
from tests.infra.ffmpeg.test_sound import recording
from tests.samples import sounds
from tests.samples.av import made
from tests.samples.sounds import TYPE, sound

Make = Callable[[bytes], Path]


async def found(
    ffmpeg: Ffmpeg, path: Path, content_type: str, *, finest: int = 256, most: int = 4096, channels: int = 1
) -> tuple[Peaks, list[float]]:
    """The peaks of a file, and what was said of the progress."""
    said: list[float] = []

    async def tell(part: float) -> None:
        said.append(part)

    source = await recording(ffmpeg, path, content_type)
    return await find_peaks(ffmpeg, source, finest=finest, most=most, channels=channels, on_progress=tell), said


def expected(channels: "list[array[float]]", stretch: int) -> list[int]:
    """The same, computed here from all samples."""
    pairs: list[int] = []
    for at in range(0, len(channels[0]), stretch):
        for channel in channels:
            here = channel[at : at + stretch]
            pairs += [max(-128, min(127, math.trunc(level * 128))) for level in (min(here), max(here))]
    return pairs


@pytest.mark.parametrize(
    "name", ["cbr.mp3", "deep.flac", "vorbis.ogg", "opus.ogg", "aac.m4a", "u8.wav", "s16.wav", "f32.wav", "voice.wav"]
)
async def test_peaks_of_every_sample(ffmpeg: Ffmpeg, file_of: Make, name: str) -> None:
    """Each pair holds the extremes of its stretch at the sound's own rate, a channel at a time.

    Of samples of 8 and 16 bits exactly; of others what FFmpeg prints may round one in a thousand to its neighbour.
    """
    path = file_of(sound(name))
    peaks, _ = await found(ffmpeg, path, TYPE[name], finest=100, most=65_536, channels=2)
    channels = sounds.decoded(path)
    wanted = expected(channels, 100)
    assert (peaks.channels, peaks.samples_per_pixel) == (len(channels), 100)
    assert len(peaks.data) == len(wanted)
    assert max(abs(one - other) for one, other in zip(peaks.data, wanted, strict=True)) <= 1
    off = sum(one != other for one, other in zip(peaks.data, wanted, strict=True))
    assert off <= (0 if name in {"u8.wav", "s16.wav", "voice.wav"} else len(wanted) / 1000)


@pytest.mark.parametrize("name", ["s16.wav", "surround.flac"])
async def test_channels_are_mixed(ffmpeg: Ffmpeg, file_of: Make, name: str) -> None:
    """One row of all channels: of two their mean, which can't be louder than either."""
    path = file_of(sound(name))
    peaks, _ = await found(ffmpeg, path, TYPE[name])
    assert peaks.channels == 1
    channels = sounds.decoded(path)
    if name == "s16.wav":
        mean = array("f", [sum(samples) / 2 for samples in zip(*channels, strict=True)])
        assert max(abs(a - b) for a, b in zip(peaks.data, expected([mean], 256), strict=True)) <= 1
    assert max(peaks.data) <= max(expected(channels, 256))


async def test_the_format_is_audiowaveforms(ffmpeg: Ffmpeg, file_of: Make) -> None:
    """The fields of https://github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md, version 2, and no others."""
    left, right = "0.5*sin(2*PI*440*t)", "if(lt(t,0.5),0.25,-0.25)"
    path = file_of(made("known.wav", *sounds.waves(left, right, rate=48_000), "-c:a", "pcm_f32le"))
    peaks, _ = await found(ffmpeg, path, "audio/wav", finest=4800, channels=2)
    content = from_json(to_json(peaks.json()))
    assert set(content) == {"version", "channels", "sample_rate", "samples_per_pixel", "bits", "length", "data"}
    data = content.pop("data")
    assert content == {
        "version": 2,
        "channels": 2,
        "sample_rate": 48_000,
        "samples_per_pixel": 4800,
        "bits": 8,
        "length": 10,
    }
    assert len(data) == 2 * content["channels"] * content["length"]
    assert all(-128 <= value <= 127 for value in data)
    # Lowest and highest of channel 0, then of channel 1, then of the next stretch.
    assert data == [*[-64, 64, 32, 32] * 5, *[-64, 64, -32, -32] * 5]


async def test_silence_clips_and_moments(ffmpeg: Ffmpeg, file_of: Make) -> None:
    """Silence is zero; what is too loud is cut at what 8 bits hold; a last stretch may be short."""
    silence = file_of(made("silence.wav", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "1"))
    assert set((await found(ffmpeg, silence, "audio/wav"))[0].data) == {0}
    loud = file_of(made("loud.wav", *sounds.waves("3*sin(2*PI*100*t)", rate=8000), "-c:a", "pcm_f32le"))
    assert set((await found(ffmpeg, loud, "audio/wav"))[0].data) == {-128, 127}
    moment = file_of(made("moment.wav", *sounds.waves("0.5", rate=8000, seconds=0.05)))
    peaks, said = await found(ffmpeg, moment, "audio/wav")
    assert (peaks.length, list(peaks.data)) == (2, [64, 64, 64, 64]) or (peaks.length, list(peaks.data)) == (
        2,
        [63] * 4,
    )
    assert sounds.rises(said)


async def test_however_long_so_many_pairs(ffmpeg: Ffmpeg, file_of: Make) -> None:
    """Twelve hours have no more pairs than asked for, and say how many samples each stands for."""
    wave = "if(lt(mod(t,3600),1),0.5,0)"
    path = file_of(made("long.wav", *sounds.waves(wave, rate=100, seconds=43_200), "-c:a", "pcm_u8"))
    peaks, said = await found(ffmpeg, path, "audio/wav", most=1000)
    assert 900 < peaks.length <= 1000
    assert peaks.samples_per_pixel * peaks.length >= 43_200 * 100
    loud = [at for at in range(peaks.length) if peaks.data[2 * at + 1] > 32]
    assert sorted({round(at * peaks.samples_per_pixel / 100 / 3600) for at in loud}) == list(range(12))
    assert sounds.rises(said)
    assert said[-1] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("channels", [1, 2])
async def test_a_file_that_lasts_longer_than_it_says(ffmpeg: Ffmpeg, file_of: Make, channels: int) -> None:
    """Pairs are joined as they come: as many as asked for, over all of the sound."""
    body = made("long.mp3", *sounds.sweep(4), "-c:a", "libmp3lame", "-q:a", "5")
    honest, _ = await found(ffmpeg, file_of(body), "audio/mpeg", finest=16, most=100_000, channels=channels)
    lying = bytearray(body)
    frames = lying.index(b"Xing") + 8
    lying[frames : frames + 4] = (8).to_bytes(4, "big")
    peaks, _ = await found(ffmpeg, file_of(bytes(lying)), "audio/mpeg", finest=16, most=300, channels=channels)
    assert 150 <= peaks.length <= 300
    assert peaks.length * peaks.samples_per_pixel == pytest.approx(4 * 44_100, rel=0.03)
    for channel in range(channels):
        low, high = 2 * channel, 2 * channel + 1
        for side, pick in ((low, min), (high, max)):
            every, joined = honest.data[side :: 2 * channels], peaks.data[side :: 2 * channels]
            assert pick(joined) == pytest.approx(pick(every), abs=1)
    with pytest.raises(DecodeRejected):
        await found(ffmpeg, file_of(bytes(400) + body[:300]), "audio/mpeg")


def test_columns_of_a_picture() -> None:
    """More pairs than columns are joined, fewer repeated, over all channels."""
    peaks = Peaks(8000, 256, 2, array("b", [-1, 1, -9, 2, -3, 3, -4, 40]))
    assert array("b", peaks.columns(1)).tolist() == [-9, 40]
    assert array("b", peaks.columns(4)).tolist() == [-9, 2, -9, 2, -4, 40, -4, 40]
    peaks.halve()
    assert (peaks.data.tolist(), peaks.samples_per_pixel) == ([-3, 3, -9, 40], 512)
    assert array("b", Peaks(8000, 256, 1).columns(2)).tolist() == [0, 0, 0, 0]


async def test_no_probe_waits_for_a_sound(file_of: Make) -> None:
    """What has a share of the CPU budget takes no decoder's place: with one place, which is taken, it runs."""
    ffmpeg = Ffmpeg(Settings(decoder_processes=1))
    path = file_of(sound("voice.wav"))
    source = await recording(ffmpeg, path, "audio/wav")

    async def tell(_: float) -> None:
        """Nobody listens."""

    taken = asyncio.create_task(ffmpeg.run("sleep", ["600"], path, source.limits(ffmpeg.settings)))
    await asyncio.sleep(0)
    peaks = await find_peaks(ffmpeg, source, finest=256, most=100, channels=1, on_progress=tell)
    assert peaks.length == 32
    assert not taken.done()
    taken.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taken
