"""What is made of videos."""

from functions.video.encode_audio import encode_audio
from functions.video.encode_chunk import encode_chunk
from functions.video.package_video import package_video
from functions.video.plan_video import plan_video
from functions.video.poster import take_poster
from functions.video.progressive import encode_progressive
from functions.video.storyboard import draw_storyboard

__all__ = [
    "draw_storyboard",
    "encode_audio",
    "encode_chunk",
    "encode_progressive",
    "package_video",
    "plan_video",
    "take_poster",
]
