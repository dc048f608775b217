"""Sounds made anew: every format in, AAC and Opus out, as long and as loud as they should be, without metadata."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg, probe_recording
from infra.ffmpeg.recording import Recording
from infra.ffmpeg.sound import CODINGS, Made, Wish, render_sound_files
from infra.ffmpeg.written import written
from schemas.probe_av import AudioProbe
from schemas.profiles import SoundFormat
from schemas.renditions import Loudness
from tests.samples import sounds
from tests.samples.av import made, piped
from tests.samples.sounds import NAMES, TYPE, sound, words

RATE = 4000  # enough to compare by
ALL: tuple[SoundFormat, ...] = ("aac", "opus", "webm")

STRUCTURE = {"major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id", "language", "duration"}
"""What FFprobe shows among tags of a file that has none."""

Render = Callable[..., Any]


@pytest.fixture
def render(ffmpeg: Ffmpeg, file_of: Callable[[bytes], Path], tmp_path: Path) -> Render:
    """Makes the sound of a file; what it says of its progress is added to a list."""

    async def make(body: bytes, content_type: str, said: list[float] | None = None, **wish: Any) -> Made:
        path = file_of(body)
        directory = tmp_path / f"{path.name}.made"
        directory.mkdir()

        async def tell(part: float) -> None:
            if said is not None:
                said.append(part)

        source = await recording(ffmpeg, path, content_type)
        return await render_sound_files(ffmpeg, source, Wish(**wish), directory, on_progress=tell)

    return make


async def recording(ffmpeg: Ffmpeg, path: Path, content_type: str) -> Recording:
    """A file as functions have it: probed."""
    probe = await probe_recording(ffmpeg, path, content_type)
    assert isinstance(probe, AudioProbe)
    return Recording(path, content_type, probe.audio[0], probe.duration_seconds)


def shown(path: Path) -> dict[str, Any]:
    """What FFprobe says of a file, outside of any sandbox."""
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-show_chapters", "-of", "json", str(path)]
    return from_json(subprocess.run(command, check=True, capture_output=True).stdout)


def seconds(path: Path) -> float:
    """How long a file plays."""
    return len(sounds.decoded(path, rate=48_000)[0]) / 48_000


def frame(probe: AudioProbe) -> float:
    """Seconds of one frame: FFmpeg cuts the last one of an M4A nowhere, players do."""
    return 1.01 * (1024 / probe.audio[0].sample_rate if probe.container == "m4a" else 0.02)


def heard(path: Path) -> Loudness:
    """How loud a file is, by FFmpeg's other meter: the one in `loudnorm`."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-i", str(path)]
    command += ["-af", "loudnorm=dual_mono=true:print_format=json", "-f", "null", "-"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    found = from_json(said[said.rindex("{") : said.rindex("}") + 1])
    return Loudness(
        integrated_lufs=float(found["input_i"]),
        range_lu=float(found["input_lra"]),
        true_peak_dbtp=float(found["input_tp"]),
    )


def sine(level: float, seconds: float = 3.0, channels: int = 2, rate: int = 48_000) -> bytes:
    """A WAV of 1 kHz with so many dBFS of peak."""
    wave = f"{10 ** (level / 20)}*sin(2*PI*1000*t)"
    return made("sine.wav", *sounds.waves(*[wave] * channels, rate=rate, seconds=seconds))


@pytest.mark.parametrize("name", NAMES)
async def test_every_format_plays_as_it_did(render: Render, file_of: Callable[[bytes], Path], name: str) -> None:
    """Each channel of what was made is that channel of the original, as long, at a rate that every decoder knows."""
    body = sound(name)
    result: Made = await render(body, TYPE[name], formats=("aac", "opus"))
    original = file_of(body)
    length = seconds(original)
    wide = name.startswith("surround")
    before = sounds.decoded(original, rate=RATE, channels=2 if wide else None)
    assert set(result.files) == {"aac", "opus"}
    for coding, (path, probe) in result.files.items():
        (track,) = probe.audio
        assert (track.codec, track.channels) == (coding, len(before))
        assert probe.duration_seconds == pytest.approx(length, abs=frame(probe))
        after = sounds.decoded(path, rate=RATE)
        assert len(after[0]) / RATE == pytest.approx(length, abs=frame(probe))
        for channel, first in enumerate(before):
            assert sounds.alike(first, after[channel], shifts=2) > 0.97
        if len(before) == 2 and not wide:
            assert sounds.alike(before[0], after[1]) < 0.3


@pytest.mark.parametrize(
    ("name", "expected"), [("voice.wav", 16_000), ("mono.mp3", 22_050), ("deep.flac", 48_000), ("s24.wav", 48_000)]
)
async def test_rates_become_sane(render: Render, name: str, expected: int) -> None:
    """A rate that players know is kept, another becomes the next one above; Opus has one alone."""
    result: Made = await render(sound(name), TYPE[name], formats=("aac", "opus"))
    assert result.files["aac"][1].audio[0].sample_rate == expected
    assert result.files["opus"][1].audio[0].sample_rate == 48_000


async def test_files_are_what_their_names_say(render: Render) -> None:
    """An M4A that begins with its index, an Ogg, a WebM; half of the bits for one channel."""
    two: Made = await render(sound("s24.wav"), "audio/wav", formats=ALL)
    assert {coding: path.name for coding, (path, _) in two.files.items()} == {
        "aac": "sound.m4a",
        "opus": "sound.opus",
        "webm": "sound.webm",
    }
    m4a = two.files["aac"][0].read_bytes()
    assert m4a[4:12] == b"ftypM4A "
    assert m4a.index(b"moov") < m4a.index(b"mdat")
    assert two.files["opus"][0].read_bytes()[:4] == b"OggS"
    assert two.files["webm"][0].read_bytes()[:4] == b"\x1a\x45\xdf\xa3"
    one: Made = await render(sound("s24.wav"), "audio/wav", formats=ALL, channels=1)
    for coding in ALL:
        assert one.files[coding][1].audio[0].channels == 1
        assert one.files[coding][0].stat().st_size < 0.75 * two.files[coding][0].stat().st_size


async def test_nothing_is_said_of_the_original(render: Render) -> None:
    """No title, comment, place or picture, nor who wrote it; the same bytes each time."""
    body = words("aac.m4a", "title=Secret title", "comment=Secret", "location=+52.5+013.4/")
    tagged = sounds.id3v2(4, ("TIT2", b"\3Secret title"), sounds.picture_frame(sounds.photo())) + sounds.bare_mp3()
    for content, content_type in ((body, "audio/mp4"), (tagged, "audio/mpeg")):
        result: Made = await render(content, content_type, formats=ALL)
        repeated: Made = await render(content, content_type, formats=ALL)
        for coding, (path, _) in result.files.items():
            said = shown(path)
            assert b"Secret" not in path.read_bytes()
            assert said["chapters"] == []
            assert [stream["codec_type"] for stream in said["streams"]] == ["audio"]
            tags = said["format"].get("tags", {}) | said["streams"][0].get("tags", {})
            assert {name.lower() for name in tags} - {"encoder"} <= STRUCTURE
            assert not re.search(r"[0-9]", tags.get("encoder", ""))
            assert path.read_bytes() == repeated.files[coding][0].read_bytes()


@pytest.mark.parametrize("channels", [1, 2])
async def test_loudness_of_a_known_sine(render: Render, channels: int) -> None:
    """1 kHz at -23 dBFS has -23.0 LUFS (EBU Tech 3341, case 1), from one loudspeaker's channel as from two."""
    result: Made = await render(sine(-23, channels=channels), "audio/wav")
    assert result.loudness is not None
    assert result.loudness.integrated_lufs == pytest.approx(-23.0, abs=0.1)
    assert result.loudness.true_peak_dbtp == pytest.approx(-23.0, abs=0.2)
    assert result.loudness.range_lu is None
    assert not result.normalized


async def test_range_of_a_minute(render: Render) -> None:
    """20 s at -20 and 40 s at -30 LUFS have a range of 10 LU (EBU Tech 3342, case 1)."""
    wave = "if(lt(t,20),0.1,0.0316227766)*sin(2*PI*1000*t)"
    body = made("range.flac", *sounds.waves(wave, wave, rate=16_000, seconds=60), "-c:a", "flac")
    result: Made = await render(body, "audio/flac")
    assert result.loudness is not None
    assert result.loudness.range_lu == pytest.approx(10.0, abs=1)


VOICE = sounds.waves(
    "(0.15*sin(2*PI*220*t)+0.1*sin(2*PI*660*t)+0.05*sin(2*PI*1720*t))*pow(abs(sin(2*PI*1.7*t)),3)"
    "*(0.4+0.6*abs(sin(2*PI*0.31*t)))+if(lt(mod(t,0.9),0.004),0.5*sin(2*PI*900*t),0)",
    "0.2*sin(2*PI*330*t)*pow(abs(sin(2*PI*1.7*t)),3)",
    rate=44_100,
    seconds=4,
)


@pytest.mark.parametrize(("gain", "target"), [(-25.0, -16.0), (0.0, -23.0), (0.0, -12.0)])
async def test_loudness_reaches_its_target(render: Render, gain: float, target: float) -> None:
    """Speech with bursts, quiet or loud: what was made has the loudness that was asked for, and no peak above."""
    body = made("voice.flac", *VOICE, "-af", f"volume={gain}dB", "-c:a", "flac")
    result: Made = await render(body, "audio/flac", loudness_lufs=target, formats=("aac", "opus"))
    assert result.normalized
    for path, _ in result.files.values():
        after = heard(path)
        assert after.integrated_lufs == pytest.approx(target, abs=1)
        assert after.true_peak_dbtp <= 0.5  # the wish is -1 dBTP, and coding with losses adds some


async def test_what_cannot_be_as_loud(render: Render) -> None:
    """Clicks in a quiet room: as loud as its peaks allow, and it is said that this is not what was asked for."""
    clicks = "0.02*(random(0)-0.5)*(0.5+0.5*sin(2*PI*3*t))+if(lt(mod(t,2),0.005),1.8*(random(1)-0.5),0)"
    body = made("clicks.wav", *sounds.waves(clicks, seconds=4))
    said: list[float] = []
    result: Made = await render(body, "audio/wav", said, loudness_lufs=-5.0)
    assert not result.normalized
    assert heard(result.files["aac"][0]).true_peak_dbtp <= 2.0  # noise, coded with losses
    assert sounds.rises(said)


@pytest.mark.parametrize("wish", [None, -16.0])
async def test_silence_and_moments(render: Render, wish: float | None) -> None:
    """Silence, and what is shorter than a meter's block, has no loudness, and is left as it is."""
    silence = made("silence.wav", "-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo", "-t", "1")
    moment = made("moment.wav", "-f", "lavfi", "-i", "sine=frequency=440:duration=0.05")
    for body, length in ((silence, 1.0), (moment, 0.05)):
        result: Made = await render(body, "audio/wav", formats=("aac", "opus"), loudness_lufs=wish)
        assert (result.loudness, result.normalized) == (None, False)
        for path, probe in result.files.values():
            assert seconds(path) == pytest.approx(length, abs=frame(probe))
    assert 0.1 < max(map(abs, sounds.decoded(result.files["opus"][0])[0])) < 0.2


async def test_noise_of_a_room_is_not_raised(render: Render) -> None:
    """What is quieter than -60 LUFS is nobody's voice."""
    result: Made = await render(sine(-65), "audio/wav", loudness_lufs=-16.0)
    assert result.loudness is not None
    assert not result.normalized
    assert max(map(abs, sounds.decoded(result.files["aac"][0])[0])) < 0.001


async def test_many_channels(render: Render) -> None:
    """Any number that FFmpeg can mix becomes two, named or not; more are refused."""
    for count in (3, 8, 10, 32):
        result: Made = await render(sine(-20, 0.2, count), "audio/wav")
        assert result.files["aac"][1].audio[0].channels == 2
        assert all(max(channel) > 0.02 for channel in sounds.decoded(result.files["aac"][0]))
    many = made("many.wav", *sounds.waves(*["0.1*sin(2*PI*440*t)"] * 64, rate=8000, seconds=0.1))
    at = many.index(b"fmt ") + 10
    wide = (
        many[:at] + (100).to_bytes(2, "little") + many[at + 2 : at + 10] + (200).to_bytes(2, "little") + many[at + 12 :]
    )
    with pytest.raises(DecodeRejected, match="100 channels") as refused:
        await render(wide, "audio/wav")
    assert refused.value.code == "unsupported_codec"


@pytest.mark.parametrize("layout", ["FL+LFE", "FL+FC+BL", "FL+FR+FC+BL", "FL+FR+LFE+BC", "LFE+BC"])
async def test_sets_of_loudspeakers_without_a_name(render: Render, layout: str) -> None:
    """As some recorders label their channels: where FFmpeg has no mixing for them, left and right by turns."""
    tones = "|".join(f"0.2*sin(2*PI*{440 * (1 + at)}*t)" for at in range(1 + layout.count("+")))
    body = made("rare.wav", "-f", "lavfi", "-i", f"aevalsrc={tones}:d=0.5:c={layout}")
    for channels in (1, 2):
        result: Made = await render(body, "audio/wav", channels=channels)
        path, probe = result.files["aac"]
        assert probe.audio[0].channels == channels
        assert all(max(channel) > 0.05 for channel in sounds.decoded(path))


async def test_headers_that_lie(render: Render) -> None:
    """What says to be shorter than it is, or doesn't know, is made as long as it is."""
    vbr = bytearray(made("long.mp3", *sounds.sweep(3), "-c:a", "libmp3lame", "-q:a", "5"))
    frames = vbr.index(b"Xing") + 8
    vbr[frames : frames + 4] = (20).to_bytes(4, "big")
    live = piped(*sounds.sweep(3), "-f", "wav")
    flac = bytearray(made("long.flac", *sounds.sweep(3), "-c:a", "flac"))
    flac[8 + 14 : 8 + 18] = (11_025).to_bytes(4, "big")
    for body, content_type in ((bytes(vbr), "audio/mpeg"), (live, "audio/wav"), (bytes(flac), "audio/flac")):
        said: list[float] = []
        result: Made = await render(body, content_type, said)
        assert seconds(result.files["aac"][0]) == pytest.approx(3, abs=0.06)
        assert sounds.rises(said)
        assert all(0 <= part <= 1 for part in said)


async def test_a_file_that_changes_within(render: Render) -> None:
    """Mono and stereo one after another are one sound, of which no one loudness is said."""
    parts = [
        made("part.mp3", *sounds.sweep(rate=rate), "-ac", str(channels), "-write_xing", "0", "-id3v2_version", "0")
        for rate, channels in ((44_100, 1), (48_000, 2), (44_100, 1))
    ]
    result: Made = await render(b"".join(parts), "audio/mpeg", loudness_lufs=-16.0)
    assert seconds(result.files["aac"][0]) == pytest.approx(3, abs=0.2)
    assert (result.loudness, result.normalized) == (None, False)


async def test_what_cannot_be_decoded(render: Render) -> None:
    """Floats that are no numbers, frames of noise: refused with a code, or made into something that plays."""
    wav = bytearray(sound("f32.wav"))
    at = wav.index(b"data") + 8
    wav[at:] = b"\xff\xff\xff\x7f" * ((len(wav) - at) // 4)
    with pytest.raises(DecodeRejected) as refused:
        await render(bytes(wav), "audio/wav")
    assert refused.value.code == "corrupt"
    mp3 = bytearray(sound("cbr.mp3"))
    mp3[6000:8000] = b"\xa5" * 2000
    result: Made = await render(bytes(mp3), "audio/mpeg")
    assert seconds(result.files["aac"][0]) == pytest.approx(1, abs=0.2)


async def test_progress_of_both_passes(render: Render) -> None:
    """Measuring is the first half, coding the second."""
    said: list[float] = []
    await render(sine(-30, 20), "audio/wav", said, loudness_lufs=-16.0)
    assert sounds.rises(said)
    assert any(0 < part <= 0.5 for part in said)
    assert said[-1] == 1.0


async def test_no_link_is_followed(tmp_path: Path) -> None:
    """What a file told FFmpeg to make is taken for a file only if it is one."""
    (tmp_path / "secret").write_text("canary")
    (tmp_path / "sound.m4a").symlink_to(tmp_path / "secret")
    with pytest.raises(DecodeRejected, match="no file"):
        written(tmp_path, "sound.m4a")
    assert written(tmp_path, "nothing") is None
    assert {coding.file for coding in CODINGS.values()} == {"sound.m4a", "sound.opus", "sound.webm"}
