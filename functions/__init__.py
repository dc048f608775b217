"""What happens to a file: one module, one function. Importing this package registers them all."""

from functions import (
    audio,
    discard,
    document,
    finish,
    identify,
    image,
    probe,
    promote,
    receive,
    record,
    scan,
    sweep,
    video,
)

__all__ = [
    "audio",
    "discard",
    "document",
    "finish",
    "identify",
    "image",
    "probe",
    "promote",
    "receive",
    "record",
    "scan",
    "sweep",
    "video",
]
