"""How fine a JPEG is coded."""

from typing import Final

_TURN: Final = 50  # of libjpeg's scale: from here on its tables are made finer, below coarser


def quantizer(quality: int) -> float:
    """FFmpeg's `-q:v` for a quality of libjpeg's, from 1 to 100: both multiply tables of about the same size.

    Source: libjpeg's jcparam.c, `jpeg_quality_scaling`.
    """
    scale = _TURN / quality if quality < _TURN else 2 - quality / _TURN
    return min(31.0, max(1.0, round(10 * scale, 1)))
