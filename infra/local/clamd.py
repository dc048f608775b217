"""clamd's configuration and readiness."""

import asyncio
import os
from pathlib import Path

from infra.settings import CLAMD_CEILING


def render(*, socket: Path, signatures: Path, temporary: Path) -> str:
    """The configuration under which clamd can't look into is never reported clean.

    By default clamd answers OK for what it skipped: bytes past a limit, encrypted documents and archives.
    """
    return "".join(f"{name} {value}\n" for name, value in options(socket, signatures, temporary).items())


def options(socket: Path, signatures: Path, temporary: Path) -> dict[str, object]:
    """What `render` writes, option by option."""
    threads = max(4, 2 * (os.cpu_count() or 1))
    return {
        "LocalSocket": socket,
        "LocalSocketMode": "600",
        "FixStaleSocket": "yes",
        "Foreground": "yes",
        "LogTime": "yes",
        "DatabaseDirectory": signatures,
        "TemporaryDirectory": temporary,
        "MaxThreads": threads,
        "MaxQueue": 4 * threads,
        "MaxConnectionQueueLength": "200",
        # Scans go on while new signatures load, for twice their memory meanwhile, and signatures that won't load change
        # nothing. Without, clamd 1.4 has thrown the old ones away by then, and is left with none.
        "ConcurrentDatabaseReload": "yes",
        "StreamMaxLength": CLAMD_CEILING,
        "MaxFileSize": CLAMD_CEILING,
        # Never above MaxFileSize: clamd 1.4 cuts what it unpacks from a zip there, and says nothing of the rest.
        # Archive and member together are over this one then, which it does say.
        "MaxScanSize": CLAMD_CEILING,
        # Bounds that are met in silence: larger HTML is not looked at at all, the others only less closely.
        "MaxHTMLNormalize": CLAMD_CEILING,
        "MaxHTMLNoTags": CLAMD_CEILING,
        "MaxScriptNormalize": CLAMD_CEILING,
        "MaxEmbeddedPE": CLAMD_CEILING,
        "PCREMaxFileSize": CLAMD_CEILING,
        # Milliseconds. A slow or stopped machine is no property of the file: the caller's own timeout must come first.
        "MaxScanTime": "600000",
        "AlertExceedsMax": "yes",
        "AlertEncrypted": "yes",
        # Decoding every image for its fuzzy hash is four times the work, to find phishing pictures in mail.
        "ScanImageFuzzyHash": "no",
    }


async def ready(socket: Path) -> bool:
    """Whether clamd answers PING, which it does once its signatures are loaded."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(b"zPING\0")
        return await reader.read(16) == b"PONG\0"
    finally:
        writer.close()
