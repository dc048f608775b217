"""What `bench video` measures with: a film of 1080p unlike any other, and FFmpeg alone at the same work."""

import random
import subprocess
import time
from pathlib import Path

from schemas.profiles import RungProfile, VideoProfile

RATE = 25


def film(path: Path, seconds: int) -> None:
    """Make a film with sound that moves everywhere and has some noise, as a camera's has."""
    seed = random.SystemRandom().randrange(2**31)
    picture = f"testsrc2=size=1920x1080:rate={RATE}:duration={seconds}"
    noise = f"noise=alls=6:allf=t:all_seed={seed}"
    sound = f"sine=frequency=330:beep_factor=3:sample_rate=48000:duration={seconds}"
    # Half of what is seen is another fractal's zoom: nothing in it stands still, nothing repeats.
    fractal = f"mandelbrot=size=960x540:rate={RATE}:start_scale=2:end_scale=0.02:end_pts={seconds * RATE}"
    graph = f"[1:v]trim=duration={seconds},scale=1280:720[small];[0:v][small]overlay=320:180,{noise},format=yuv420p[v]"
    _run(
        *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", fractal, "-f", "lavfi", "-i", sound),
        *("-filter_complex", graph, "-map", "[v]", "-map", "2:a", "-t", str(seconds)),
        *("-c:v", "libx264", "-preset", "superfast", "-b:v", "8M", "-maxrate", "10M", "-bufsize", "16M"),
        *("-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", str(path)),
    )


def single(source: Path, profile: VideoProfile, folder: Path) -> float:
    """Seconds of one run that decodes once: each rung from its own copy of the picture, and the sound."""
    rungs = profile.rungs
    copies = "".join(f"[s{number}]" for number in range(len(rungs)))
    graph = [f"[0:v]split={len(rungs)}{copies}"]
    outputs: list[str] = []
    for number, rung in enumerate(rungs):
        graph.append(f"[s{number}]{_scaled(rung)}[v{number}]")
        outputs += ["-map", f"[v{number}]", *_coded(rung, profile), str(folder / f"{rung.name}.mp4")]
    outputs += ["-map", "0:a", *_sound(profile), str(folder / "sound.mp4")]
    return _run("-i", str(source), "-filter_complex", ";".join(graph), *outputs)


def passes(source: Path, profile: VideoProfile, folder: Path) -> float:
    """Seconds of a run for each rung, one after another; the first one does the sound as well."""
    seconds = 0.0
    for number, rung in enumerate(profile.rungs):
        picture = ["-map", "0:v", "-vf", _scaled(rung), *_coded(rung, profile), str(folder / f"{rung.name}.mp4")]
        sound = [] if number else ["-map", "0:a", *_sound(profile), str(folder / "sound.mp4")]
        seconds += _run("-i", str(source), *picture, *sound)
    return seconds


def _scaled(rung: RungProfile) -> str:
    return f"scale={rung.longer}:{rung.shorter},format=yuv420p"


def _coded(rung: RungProfile, profile: VideoProfile) -> list[str]:
    segment = str(round(profile.segment_seconds * RATE))
    return [
        *("-c:v", "libx264", "-preset", profile.preset, "-crf", str(profile.crf), "-sc_threshold", "0"),
        *("-g", segment, "-keyint_min", segment, "-maxrate", str(rung.bit_rate), "-bufsize", str(2 * rung.bit_rate)),
    ]


def _sound(profile: VideoProfile) -> list[str]:
    return ["-c:a", "aac", "-b:a", str(profile.audio_bit_rate)]


def _run(*arguments: str) -> float:
    begun = time.perf_counter()
    subprocess.run(["ffmpeg", "-nostdin", "-y", "-loglevel", "error", *arguments], check=True)  # noqa: S603, S607
    return time.perf_counter() - begun
