"""RIFF: WAV, WebP and AVI by the form that the header names."""

MAGIC = b"RIFF"
_FORMS = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}


def judge(head: bytes) -> str | None:
    """Say which of them it is."""
    return _FORMS.get(head[8:12])
