"""`tidegate upload`: files go through the gateway like any client's, and each is followed to its end."""

import asyncio
import mimetypes
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import ValidationError
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from cli.client import Gateway, Refused
from cli.connect import settings
from cli.credentials import issued_for
from cli.failures import DOWN, PROBLEM, USAGE, CommandFailed
from cli.outcome import Outcome, outcome
from cli.output import emit, err, out, shown, styled
from cli.printable import printable
from schemas.api import UploadRequest
from schemas.document import Fold, event_name
from schemas.model import LANES
from schemas.types import TYPES

AT_ONCE = 4
WIDE = 120
_BY_EXTENSION = {f".{known.extension}": content_type for content_type, known in TYPES.items()}
_BY_EXTENSION[".hif"] = "image/heic"  # cameras' own name for it, which Debian takes for AVIF


@dataclass(frozen=True, slots=True)
class Wish:
    """How files are to be uploaded, and as whom."""

    lane: str | None = None
    audience: tuple[str, ...] = ()
    form: bool = False
    content_type: str | None = None
    owner: str = "operator"
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one file and its products. `seconds`: from the upload's answer to the end state."""

    file: str
    media_id: str | None
    state: str
    why: str
    seconds: float | None
    where: str
    products: tuple[dict[str, Any], ...] = ()


async def upload(files: Sequence[Path], wish: Wish, data: Path | None, *, as_json: bool) -> int:
    """Upload and follow; 1 if a file wasn't ready in the end."""
    found = settings(data)
    token = wish.token or issued_for(
        found.jwt_secret.get_secret_value(),
        owner=wish.owner,
        scopes=("upload", "read"),
        lanes=LANES,
        audiences=wish.audience,
    )
    slots = asyncio.Semaphore(AT_ONCE)
    with _progress(shown=not as_json) as progress:

        async def one(file: Path) -> Result:
            async with slots:
                return await _carry(gateway, file, wish, _Line(progress, file))

        try:
            async with Gateway.at(found.gateway_url, token) as gateway:
                results = await asyncio.gather(*map(one, files))
        except aiohttp.ClientError as error:
            raise CommandFailed(
                DOWN, f"The gateway at {found.gateway_url} or MinIO doesn't answer ({error}): is the stack running?"
            ) from None
    if as_json:
        emit({"files": [asdict(result) for result in results]})
    else:
        out().print(results_table(results))
    return 0 if all(result.state == "ready" for result in results) else PROBLEM


def results_table(results: Sequence[Result]) -> Table:
    """A line a file: state, why, time, where."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("file", overflow="fold", max_width=32)
    table.add_column("state", no_wrap=True)
    table.add_column("why", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    # A key in one piece can be copied, where there is room for it.
    table.add_column("where", overflow="fold", style="dim", no_wrap=out().width >= WIDE)
    for result in results:
        seconds = "" if result.seconds is None else f"{result.seconds:.2f} s"
        table.add_row(shown(result.file), styled(result.state), shown(result.why), seconds, shown(result.where or "-"))
    return table


class _Line:
    """One file's line in the progress display."""

    def __init__(self, progress: Progress, file: Path) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(printable(file.name), total=file.stat().st_size, said="")

    def bytes(self, count: int) -> None:
        """So many bytes more were sent."""
        self._progress.advance(self._task, count)

    def say(self, word: str) -> None:
        """Where the file is."""
        self._progress.update(self._task, said=printable(word))


def _progress(*, shown: bool) -> Progress:
    return Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(binary_units=True),
        TextColumn("{task.fields[said]}", style="cyan", markup=False),
        console=err(),
        transient=True,
        disable=not shown,
    )


async def _carry(gateway: Gateway, file: Path, wish: Wish, line: _Line) -> Result:
    name = str(file)
    try:
        request = request_for(file, wish)
        ticket = await gateway.ask(request)
        await gateway.send(ticket, file, request.size, line.bytes)
        begun = time.monotonic()
        ended = await follow(gateway, ticket.media_id, line.say)
    except Refused as refusal:
        if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise CommandFailed(DOWN, printable(f"{name}: {refusal}")) from None
        return Result(name, None, "refused", str(refusal), None, "")
    seconds = round(time.monotonic() - begun, 3)
    products = tuple(product.model_dump(exclude_none=True) for product in ended.products)
    return Result(name, ticket.media_id, ended.state, ended.why, seconds, ended.where, products)


def request_for(file: Path, wish: Wish) -> UploadRequest:
    """What the gateway is asked for.

    Raises:
        CommandFailed: An option can't be.
    """
    # What Tidegate knows comes first: which others Python knows differs from machine to machine.
    known = _BY_EXTENSION.get(file.suffix.lower())
    guessed = known or mimetypes.guess_type(file.name)[0]
    fields: dict[str, Any] = {
        "filename": file.name,
        "content_type": wish.content_type or guessed or "application/octet-stream",
        "size": file.stat().st_size,
        "lane": wish.lane,
        "audience": wish.audience,
        "form": wish.form,
    }
    try:
        return UploadRequest.model_validate(fields)
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        raise CommandFailed(USAGE, printable(f"{file}: {problem['loc'][0]}: {problem['msg']}.")) from None


async def follow(gateway: Gateway, media_id: str, say: Callable[[str], None]) -> Outcome:
    """Fold a media's events until nothing more will happen to it by itself."""
    fold = Fold(media_id)

    def progress(function: str, done: int, total: int, eta: float | None) -> None:
        left = "" if eta is None else f", {eta:.0f} s left"
        say(f"{function} {100 * done // max(total, 1)} %{left}")

    async for event in gateway.events(media_id, progress):
        fold.add(event)
        say(event_name(event))
        if (reached := outcome(fold)).over:
            return reached
    return outcome(fold)
