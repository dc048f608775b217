"""Whether clamd can load an operator's signatures, asked before anything depends on the answer."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from infra.local import clamd
from infra.local.process import Process, ProcessFailed
from infra.local.signatures import SignaturesUnusable, own_files

_ERROR = "LibClamAV Error: "
_UNLOADED = f"{_ERROR}Can't load "
_FORMATS = "a line of .ndb is Name:Target:Offset:HexSignature, one of .hdb and .hsb is Hash:Size:Name"


async def check_signatures(own: Path, binary: Path) -> None:
    """Let a clamd of its own load these signatures and no others: that takes milliseconds.

    Args:
        own: Directory of the operator's signature files.
        binary: The clamd to ask.

    Raises:
        SignaturesUnusable: The directory is none or holds none, or clamd refuses a file; the message names it.
        ProcessFailed: clamd can't start at all.
    """
    files = own_files(own)
    scratch = Path(tempfile.mkdtemp(prefix="tidegate-"))
    try:
        (scratch / "own").mkdir()
        for path in files:
            await asyncio.to_thread(shutil.copyfile, path, scratch / "own" / path.name)
        socket, config, log_file = scratch / "clamd.sock", scratch / "clamd.conf", scratch / "clamd.log"
        config.write_text(clamd.render(socket=socket, signatures=scratch / "own", temporary=scratch))
        process = Process(
            "clamd",
            [binary, "--foreground", "--config-file", config],
            log_file=log_file,
            ready=lambda: clamd.ready(socket),
            environment={},
            keep_alive=False,
        )
        try:
            await process.start()
        except ProcessFailed:
            if refusal := _refusal(log_file, scratch / "own", own):
                raise SignaturesUnusable(refusal) from None
            raise
        await process.kill()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _refusal(log_file: Path, loaded: Path, own: Path) -> str:
    """What clamd says of the file that it can't load, under the file's own name; empty if that isn't why it ended."""
    said = [line for line in log_file.read_text(errors="replace").splitlines() if line.startswith(_ERROR)]
    refused = next((number for number, line in enumerate(said) if line.startswith(_UNLOADED)), None)
    if refused is None:
        return ""
    file, _, why = said[refused].removeprefix(_UNLOADED).replace(str(loaded), str(own), 1).rpartition(": ")
    detail = "".join(f"{line.removeprefix(_ERROR)}; " for line in said[:refused])
    return f"ClamAV can't load {file} ({detail}{why}): correct it or take it out of the directory ({_FORMATS})"
