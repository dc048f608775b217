"""Every type of file that Tidegate can check, by the content type that `identify` says it is.

What an installation accepts is a part of these, by its settings; all else is refused, since nobody could probe it.
"""

from schemas.media import Identity
from schemas.model import Kind

_KNOWN: dict[Kind, dict[str, str]] = {
    "image": {
        "image/jpeg": "jpg",
        "image/png": "png",
        "image/gif": "gif",
        "image/webp": "webp",
        "image/heic": "heic",
        "image/avif": "avif",
        "image/tiff": "tif",
        "image/bmp": "bmp",
    },
    "video": {
        "video/mp4": "mp4",
        "video/quicktime": "mov",
        "video/3gpp": "3gp",
        "video/webm": "webm",
        "video/x-matroska": "mkv",
        "video/x-msvideo": "avi",
    },
    "audio": {
        "audio/mpeg": "mp3",
        "audio/mp4": "m4a",
        "audio/aac": "aac",
        "audio/flac": "flac",
        "audio/ogg": "ogg",
        "audio/wav": "wav",
        "audio/webm": "weba",
    },
    "document": {
        "application/pdf": "pdf",
        "text/plain": "txt",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
        "application/vnd.oasis.opendocument.text": "odt",
        "application/vnd.oasis.opendocument.spreadsheet": "ods",
        "application/vnd.oasis.opendocument.presentation": "odp",
        "application/epub+zip": "epub",
    },
}

TYPES: dict[str, Identity] = {
    content_type: Identity(kind=kind, content_type=content_type, extension=extension)
    for kind, types in _KNOWN.items()
    for content_type, extension in types.items()
}
