"""What is made of videos."""

from functions.video.encode_audio import encode_audio
from functions.video.encode_chunk import encode_chunk
from functions.video.package_video import package_video
from functions.video.plan_video import plan_video

__all__ = ["encode_audio", "encode_chunk", "package_video", "plan_video"]
