"""What players get: HLS and DASH over the same segments, made by FFmpeg as a stranger's video would be packaged."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

SECONDS = 4
FRAMES = 100
RUNGS = ((192, 108), (128, 72))


@cache
def stream() -> dict[str, bytes]:
    """Every file of a stream by its name: two rungs of 100 frames and a sound, in pieces of a second."""
    scaled = "".join(f"[v{number}]scale={width}:{height}[o{number}];" for number, (width, height) in enumerate(RUNGS))
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *("ffmpeg", "-nostdin", "-loglevel", "error"),
            *("-f", "lavfi", "-i", f"testsrc2=size=192x108:rate=25:duration={SECONDS}"),
            *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={SECONDS}"),
            *("-filter_complex", f"[0:v]split=2[v0][v1];{scaled.removesuffix(';')}"),
            *("-map", "[o0]", "-map", "[o1]", "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast"),
            *("-pix_fmt", "yuv420p", "-b:v:0", "200k", "-b:v:1", "100k", "-g", "25", "-keyint_min", "25"),
            *("-sc_threshold", "0", "-c:a", "aac", "-b:a", "64k", "-bitexact", "-map_metadata", "-1"),
            *("-f", "dash", "-hls_playlist", "1", "-use_timeline", "1", "-use_template", "1", "-seg_duration", "1"),
            *("-adaptation_sets", "id=0,streams=v id=1,streams=a"),
            *("-init_seg_name", "init-$RepresentationID$.mp4"),
            *("-media_seg_name", "seg-$RepresentationID$-$Number%05d$.m4s"),
            str(Path(folder, "manifest.mpd")),
        ]
        subprocess.run(command, check=True)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}
