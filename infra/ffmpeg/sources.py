"""What FFmpeg's programs are told of a stranger's file: the one demuxer of its identified type, and few decoders.

A playlist or a concat script with another name is just a broken file then.
"""

from infra.settings import Settings
from schemas.probe_av import Container

# By content type: FFmpeg's demuxer, and our name of the container.
CONTAINERS: dict[str, tuple[str, Container]] = {
    "video/mp4": ("mov", "mp4"),
    "video/quicktime": ("mov", "mov"),
    "video/3gpp": ("mov", "3gp"),
    "video/webm": ("matroska", "webm"),
    "video/x-matroska": ("matroska", "mkv"),
    "video/x-msvideo": ("avi", "avi"),
    "audio/mpeg": ("mp3", "mp3"),
    "audio/mp4": ("mov", "m4a"),
    "audio/aac": ("aac", "aac"),
    "audio/flac": ("flac", "flac"),
    "audio/ogg": ("ogg", "ogg"),
    "audio/wav": ("wav", "wav"),
    "audio/webm": ("matroska", "webm"),
}
# What cameras, phones, browsers and editors write; decoders' names. FFmpeg has 470 codecs, most of them of use to
# nobody but who looks for a hole in one.
DECODERS = (
    "h264,hevc,libdav1d,libaom-av1,av1,vp8,vp9,mpeg4,mpeg2video,mpeg1video,h263,msmpeg4,msmpeg4v2,mjpeg,prores,dnxhd,"
    "dvvideo,theora,rawvideo,png,bmp,gif,webp,"
    "aac,mp3float,mp3,mp2float,mp2,ac3,eac3,opus,libopus,vorbis,flac,alac,amrnb,amrwb,libopencore_amrnb,"
    "libopencore_amrwb,adpcm_ima_wav,adpcm_ima_qt,adpcm_ms,pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,"
    "pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_alaw,pcm_mulaw,"
    "mov_text,srt,subrip,ass,ssa,webvtt,text,dvdsub,pgssub,dvbsub,cc_dec"
)


# What people's files have beside the tracks that are used: covers, second sound tracks, subtitles. FFprobe gives a file
# up if it can't open a decoder for each of its tracks: it may open these, which read next to nothing for that, and
# nobody ever gives them a packet. By FFprobe's letter for the kind the decoders; then the codecs as FFprobe says them.
NEVER_DECODED = {"v": "tiff", "a": "dca,truehd,mlp,wmav1,wmav2", "s": "xsub"}
RARE = frozenset({"tiff", "dts", "truehd", "mlp", "wmav1", "wmav2", "xsub"})


def listed(settings: Settings, content_type: str, memory_bytes: int) -> list[str]:
    """The same as `source` for an FFprobe that may see tracks which nobody decodes.

    The whitelist of the container, which holds while FFmpeg finds out what the tracks are, stays as it is.
    """
    opened = [(f"-codec_whitelist:{kind}", f"{DECODERS},{more}") for kind, more in NEVER_DECODED.items()]
    return [*source(settings, content_type, memory_bytes), *(each for pair in opened for each in pair)]


def source(settings: Settings, content_type: str, memory_bytes: int) -> list[str]:
    """Arguments of ffprobe and ffmpeg alike, before the input: what it is, and what it may be made of.

    Args:
        settings: Its budgets.
        content_type: What it was identified as: one of `CONTAINERS`.
        memory_bytes: What the program may take; no single block is larger than half of that.
    """
    demuxer, _ = CONTAINERS[content_type]
    return [
        *("-f", demuxer, "-format_whitelist", demuxer),
        *("-protocol_whitelist", "file", "-codec_whitelist", DECODERS),
        *("-max_alloc", str(memory_bytes // 2), "-max_pixels", str(settings.max_video_pixels)),
        *("-max_streams", str(settings.max_streams)),
    ]
