"""FFmpeg's programs: each run on one file, in a sandbox of its own that ends with it."""

from infra.ffmpeg.probe import probe_recording
from infra.ffmpeg.run import Ffmpeg, Killed, Limits, Ran

__all__ = ["Ffmpeg", "Killed", "Limits", "Ran", "probe_recording"]
