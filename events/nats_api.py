"""JetStream's JSON API and its direct reads, as far as the bus needs them."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from events.bus import BusDown, BusError, Stored, StreamMissing
from events.nats_link import API_SECONDS, NO_RESPONDERS, Link
from events.nats_wire import Received, parse_headers

# Messages of one direct get.
BATCH = 256
# Confirmations of an empty answer by a replica that is late, before the leader's word is taken alone.
ATTEMPTS = 5
PAUSE_SECONDS = 0.05

END_OF_BATCH = 204
NOT_FOUND = 404
TOO_MANY = 413
STREAM_NOT_FOUND = 10059
MESSAGE_NOT_FOUND = 10037


class ApiError(BusError):
    """JetStream refused a request: its code, its own error code and its sentence."""

    def __init__(self, subject: str, error: dict[str, Any]) -> None:
        super().__init__(f"{subject}: {error.get('description')} ({error.get('code')}, {error.get('err_code')})")
        self.code = int(error.get("code") or 0)
        self.number = int(error.get("err_code") or 0)
        self.description = str(error.get("description") or "")


async def api(link: Link, call: str, body: object = None, *, timeout: float = API_SECONDS) -> dict[str, Any]:
    """Ask `$JS.API.<call>` and return the answer.

    Raises:
        BusDown: no answer, or JetStream can't answer now.
        StreamMissing: the stream does not exist.
        ApiError: JetStream refused.
    """
    subject = f"$JS.API.{call}"
    answer = await link.request(subject, json.dumps(body).encode() if body is not None else b"", timeout=timeout)
    if answer.status == NO_RESPONDERS:
        raise BusDown(f"{subject}: JetStream is not enabled or has no leader")
    result = cast("dict[str, Any]", json.loads(answer.data))
    if "error" in result:
        error = ApiError(subject, result["error"])
        if error.number == STREAM_NOT_FOUND:
            raise StreamMissing(f"{subject}: no such stream: run `tidegate provision`") from error
        if error.code == NO_RESPONDERS:
            raise BusDown(str(error)) from error
        raise error
    return result


async def message(link: Link, stream: str, **which: object) -> Stored | None:
    """One message, answered by the stream's leader: `seq`, or `last_by_subj` (wildcards allowed)."""
    try:
        found = (await api(link, f"STREAM.MSG.GET.{stream}", which))["message"]
    except ApiError as error:
        if error.number == MESSAGE_NOT_FOUND:
            return None
        raise
    return Stored(
        subject=found["subject"],
        sequence=found["seq"],
        data=base64.b64decode(found.get("data", "")),
        headers=parse_headers(base64.b64decode(found.get("hdrs", ""))),
        time=_time(found["time"]),
    )


async def last_by_subjects(link: Link, stream: str, subjects: Sequence[str]) -> list[Stored]:
    """The last message of every subject that matches, in order of sequence; see `events.bus.Bus.last`."""
    for _ in range(ATTEMPTS):
        found = await _direct(link, stream, {"multi_last": list(subjects)})
        if found:
            return found
        # A replica may be behind: nothing is nothing only when the leader says so.
        confirmed = [await message(link, stream, last_by_subj=subject) for subject in subjects]
        if not any(confirmed):
            return []
        await asyncio.sleep(PAUSE_SECONDS)
    raise BusDown(f"{stream}: the server that answers is behind the stream's leader")


async def read_stored(link: Link, stream: str, subjects: Sequence[str], start: int) -> AsyncGenerator[Stored]:
    """Messages from sequence `start` to the last, in order, by direct gets (which take one subject filter each)."""
    while True:
        batches = [await _batch(link, stream, subject, start) for subject in subjects]
        # A filter with more to come has told everything only up to its batch's end.
        ends = [found[-1].sequence for found, more in batches if more]
        end = min(ends) if ends else None
        merged = {each.sequence: each for found, _ in batches for each in found}
        for sequence in sorted(merged):
            if end is None or sequence <= end:
                yield merged[sequence]
        if end is None:
            return
        start = end + 1


async def _batch(link: Link, stream: str, subject: str, start: int) -> tuple[list[Stored], bool]:
    answers = await _get(link, stream, {"seq": max(start, 1), "batch": BATCH, "next_by_subj": subject})
    found = [stored(answer) for answer in answers if not answer.status]
    more = bool(found) and int(answers[-1].headers.get("Nats-Num-Pending", 0)) > 0
    return found, more


async def _direct(link: Link, stream: str, body: dict[str, object]) -> list[Stored]:
    return [stored(answer) for answer in await _get(link, stream, body) if not answer.status]


async def _get(link: Link, stream: str, body: dict[str, object]) -> list[Received]:
    subject = f"$JS.API.DIRECT.GET.{stream}"
    answers = await link.collect(subject, json.dumps(body).encode(), _is_status)
    end = answers[-1]
    if end.status == TOO_MANY:
        raise ValueError(f"{stream}: more than 1,024 subjects match {body}")
    if end.status == NO_RESPONDERS:
        raise await missing_or_down(link, subject, stream=stream)
    if end.status not in (END_OF_BATCH, NOT_FOUND):
        raise BusError(f"{subject}: {end.status} {end.description}")
    return answers


def _is_status(answer: Received) -> bool:
    return answer.status != 0


async def missing_or_down(link: Link, what: str, *, stream: str = "", subject: str = "") -> BusError:
    """Nobody took a request: is there no such stream (JetStream answers and knows none), or no leader?"""
    down = BusDown(f"{what}: nobody answers for it")
    try:
        if stream:
            await api(link, f"STREAM.INFO.{stream}", timeout=2.0)
            return down
        names = await api(link, "STREAM.NAMES", {"subject": subject}, timeout=2.0)
    except StreamMissing as error:
        return error
    except BusError:
        return down
    return down if names.get("streams") else StreamMissing(f"{what}: no stream takes it: run `tidegate provision`")


def stored(answer: Received) -> Stored:
    """A message as a direct get returns it: about itself in headers `Nats-…`."""
    headers = dict(answer.headers)
    subject = headers.pop("Nats-Subject")
    sequence = int(headers.pop("Nats-Sequence"))
    time = _time(headers.pop("Nats-Time-Stamp"))
    for name in ("Nats-Stream", "Nats-Num-Pending", "Nats-Last-Sequence", "Nats-UpTo-Sequence"):
        headers.pop(name, None)
    return Stored(subject, sequence, answer.data, headers, time)


def moment(nanoseconds: int) -> datetime:
    """Nanoseconds since 1970 as a time."""
    return datetime.fromtimestamp(nanoseconds / 1_000_000_000, tz=UTC)


def _time(text: str) -> datetime:
    """RFC 3339 with nanoseconds; Python reads six digits of them."""
    return datetime.fromisoformat(text)
