"""A worker that dies by SIGKILL once: `python -m tests.functions.video.worker DIRECTORY WHERE FUNCTION…`.

WHERE is a failpoint, or the number of a chunk: it dies while FFmpeg encodes that one. `DIRECTORY/died` says that it
did, `DIRECTORY/encoding` has a line for each chunk that FFmpeg began to encode.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from cli.worker import work
from events import failpoints
from events.registry import load
from functions.video import encode_chunk
from infra import logs
from infra.settings import Settings


def main(directory: Path, where: str, names: list[str]) -> int:
    """Work until SIGTERM."""
    load()
    died = directory / "died"

    def die() -> None:
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.install(lambda point: die() if point == where else None)
    module: Any = sys.modules[encode_chunk.__module__]
    encode = module.encode

    async def counted(ffmpeg: Any, encoding: Any, chunk: Any, rungs: Any, into: Path, **options: Any) -> None:
        with (directory / "encoding").open("a") as lines:
            lines.write(f"{chunk.number}\n")
        encoding_it = asyncio.create_task(encode(ffmpeg, encoding, chunk, rungs, into, **options))
        while where == str(chunk.number) and not died.exists():
            if _has_begun(into):
                die()
            await asyncio.sleep(0.005)
        await encoding_it

    module.encode = counted
    settings = Settings()
    logs.configure(settings)
    return asyncio.run(work(settings, names))


def _has_begun(into: Path) -> bool:
    """Whether FFmpeg writes already."""
    return any(into.iterdir())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
