"""`upload`, `trace`, `tail` and `replay`: files go in, and everything that happens to them can be seen and repeated."""

import asyncio
import json
import os
import signal
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pymongo import AsyncMongoClient
from rich.console import Console

from bench.samples import SAMPLES, Sample
from cli.history import History
from cli.trace import timeline
from infra.documents import COLLECTION
from infra.settings import Settings
from tests.cli.conftest import Installed
from tests.cli.running import COMMAND, environment, eventually, stop, tidegate
from tests.schemas.test_document import LATER, MEDIA, made

WAY = ["requested", "uploaded", "identified", "scanned", "probed", "promoted", "ready"]


def test_upload_follows_files_to_their_end(installed: Installed, tmp_path: Path) -> None:
    """Each sample of the demonstration ends as it should; exit code 1, for not all were ready."""
    files = [sample.write(tmp_path) for sample in SAMPLES]
    answer = installed.tidegate("upload", "--json", *files)
    ended = {Path(each["file"]).name: each for each in answer.json["files"]}
    assert answer.code == 1
    assert {name: each["state"] for name, each in ended.items()} == {sample.name: sample.state for sample in SAMPLES}
    for sample in SAMPLES:
        each = ended[sample.name]
        assert _says_why(sample, each["why"]), each
        assert (each["where"] or "").startswith(
            {"ready": "permanent/", "quarantined": "quarantine/"}.get(sample.state, "")
        )
        assert each["seconds"] < 30


def _says_why(sample: Sample, why: str) -> bool:
    return not sample.codes or why.partition(":")[0] in sample.codes


@pytest.mark.parametrize("options", [("--form",), ("--lane", "premium"), ("--audience", "family", "--owner", "bob")])
def test_upload_takes_a_client_s_choices(installed: Installed, tmp_path: Path, options: tuple[str, ...]) -> None:
    """By form, in a lane, for an audience: ready all the same, exit code 0."""
    file = tmp_path / "notes.txt"
    file.write_text("one\ntwo\n")
    answer = installed.tidegate("upload", file, *options)
    assert answer.code == 0, answer
    assert "ready" in answer.out
    assert "permanent/" in answer.out


def test_upload_says_what_the_gateway_refuses(installed: Installed, tmp_path: Path) -> None:
    """A refused request is a line with the gateway's reason, and exit code 1."""
    file = tmp_path / "a.txt"
    file.write_text("text")
    answer = installed.tidegate("upload", file, "--token", "nonsense", "--json")
    assert answer.code == 1
    assert answer.json["files"][0]["state"] == "refused"
    assert "token" in answer.json["files"][0]["why"].lower()
    assert installed.tidegate("upload", tmp_path / "missing.txt").code == 2
    assert installed.tidegate("upload", file, "--lane", "fast").code == 2


def test_trace_tells_the_whole_story(installed: Installed, ready: dict[str, Any]) -> None:
    """Every event in order with what caused it, where the media is, and that it waits for nothing."""
    told = installed.tidegate("trace", ready["media_id"], "--json").json
    names = [event["type"].split(".")[-2] for event in told["events"]]
    assert [name for name in names if name in WAY][: len(WAY)] == WAY
    assert "discarded" in names
    assert (told["state"], told["where"], told["waits_for"]) == ("ready", ready["where"], [])
    ids = {event["id"] for event in told["events"]}
    assert all(event["causationid"] in ids for event in told["events"] if event["type"].split(".")[-2] != "requested")
    shown = installed.tidegate("trace", ready["media_id"]).out
    assert all(name in shown for name in (*WAY, "receive", "discard"))


def test_a_file_s_name_can_t_write_on_a_screen(installed: Installed, tmp_path: Path) -> None:
    """Escapes, line ends and markup in it are shown as such by `upload` and `trace`; its JSON is ASCII."""
    file = tmp_path / "a\x1b[2J\n[red]forged\u202e.txt"
    file.write_text("text")
    answer = installed.tidegate("upload", file)
    trace = installed.tidegate("trace", answer.out.partition("permanent/")[2].partition("/")[0])
    for said in (answer, trace):
        assert said.code == 0, said
        assert "\x1b" not in said.out + said.err
        assert "\u202e" not in said.out
    assert r"a\x1b[2J\n[red]forged\u202e.txt" in trace.out.replace("\n", "")
    as_json = installed.tidegate("upload", file, "--json")
    assert as_json.out.isascii()
    assert as_json.json["files"][0]["file"] == str(file)


def test_a_narrow_trace_has_room_for_what_was_found() -> None:
    """On a terminal of 80 columns, also beside the longest names and a replay's run."""
    said = made("skipped", "waveform", LATER, product="waveform", code="corrupt", reason="It ends too early.")
    said["source"] = "/functions/draw_long_waveform"
    console = Console(width=80, file=StringIO(), force_terminal=False)
    console.print(timeline(History(MEDIA, events=[said]), narrow=True))
    assert isinstance(console.file, StringIO)
    assert "ends too early" in " ".join(console.file.getvalue().split())


def test_trace_knows_what_a_media_waits_for(installed: Installed) -> None:
    """What was requested and never uploaded waits for its client; what nobody knows is exit code 1."""
    asked = _request(installed)
    told = installed.tidegate("trace", asked, "--json").json
    assert (told["state"], told["waits_for"]) == ("pending", ["client"])
    answer = installed.tidegate("trace", "019a3c1e-0000-7000-8000-000000000000")
    assert answer.code == 1
    assert "Nothing is known" in answer.err
    assert installed.tidegate("trace", "a.*").code == 2


def _request(installed: Installed) -> str:
    token = installed.tidegate("token", "--owner", "alice").out.strip()
    request = Request(
        f"{installed.info.environment('gateway')['TIDEGATE_GATEWAY_URL']}/v1/uploads",
        b'{"filename": "a.txt", "content_type": "text/plain", "size": 4}',
        {"authorization": f"Bearer {token}"},
    )
    with urlopen(request, timeout=10) as answer:
        return json.load(answer)["media_id"]


def test_tail_shows_events_from_a_sequence_on_until_ctrl_c(installed: Installed, ready: dict[str, Any]) -> None:
    """With filters, one JSON object a line; SIGINT ends it with exit code 0."""
    arguments = [
        "tail",
        "--since",
        "1",
        "--event",
        "ready",
        "--kind",
        "document",
        "--json",
        "--data",
        str(installed.data),
    ]
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as tail:
        assert tail.stdout is not None
        event = json.loads(tail.stdout.readline())
        assert event["type"] == "tidegate.media.ready.v1"
        assert event["sequence"] >= 1
        assert stop(tail, signal.SIGINT) == 0
    assert installed.tidegate("tail", "--event", "levitated").code == 2


def test_replay_gives_the_newest_event_again_as_a_new_run(installed: Installed, ready: dict[str, Any]) -> None:
    """A dry run gives nothing; a real one goes the whole way again under its run and name, and ends as before."""
    media_id = ready["media_id"]
    dry = installed.tidegate("replay", "--id", media_id, "--to", "scan", "--dry-run", "--json").json
    assert (dry["media"][0]["event"], dry["dry_run"]) == ("identified", True)
    run = installed.tidegate("replay", "--id", media_id, "--to", "scan", "--name", "newer signatures", "--json").json[
        "run"
    ]
    assert run != dry["run"]

    def ended() -> list[dict[str, Any]]:
        told = installed.tidegate("trace", media_id, "--json").json
        again = [event for event in told["events"] if event["run"] == run]
        return again if any(event["type"].endswith("ready.v1") for event in again) else []

    again = eventually(ended)
    assert {event["replayname"] for event in again} == {"newer signatures"}
    told = installed.tidegate("trace", media_id, "--json").json
    assert told["state"] == "ready"
    assert [given["run"] for given in told["given"]] == [run]


def test_replay_says_what_it_can_t_give(installed: Installed) -> None:
    """A media without such an event is exit code 1; a function that takes no events, or no function, is usage."""
    unknown = installed.tidegate("replay", "--id", "nobody", "--to", "scan", "--json")
    assert unknown.code == 1
    assert "no event that scan takes" in unknown.json["media"][0]["problem"]
    assert installed.tidegate("replay", "--id", "nobody", "--to", "sweep").code == 2
    assert installed.tidegate("replay", "--id", "nobody", "--to", "levitate").code == 2
    assert installed.tidegate("replay", "--id", "nobody").code == 2
    for name in ("encode_chunk", "encode_audio", "package_video"):
        refused = installed.tidegate("replay", "--id", "nobody", "--to", name)
        assert refused.code == 2
        assert "--to plan_video" in " ".join(refused.err.split())
    assert installed.tidegate("replay", "--rebuild", "--id", "nobody").code == 2


def test_replay_gives_nothing_to_who_would_find_no_file(installed: Installed, tmp_path: Path) -> None:
    """What was refused is gone: exit code 1 says so, unless the function takes the news of it."""
    file = tmp_path / "a.pdf"
    file.write_text("no document")
    media_id = installed.tidegate("upload", file, "--json").json["files"][0]["media_id"]
    eventually(lambda: "discard-rejected" in installed.tidegate("trace", media_id, "--json").out)
    refused = installed.tidegate("replay", "--id", media_id, "--to", "identify", "--json")
    assert refused.code == 1
    assert "is rejected: identify would find no file" in refused.json["media"][0]["problem"]
    assert "given" not in installed.tidegate("trace", media_id).out
    assert installed.tidegate("replay", "--id", media_id, "--to", "discard", "--dry-run").code == 0


@pytest.mark.parametrize(
    "name", ["x" * 256, "two\nlines", "\x1b[31mred", "bell\x07", "c1\x9b", os.fsdecode(b"half \xff")]
)
def test_a_replays_name_can_stand_in_an_event(name: str) -> None:
    """A name that is too long, or that holds control characters, is usage: nothing is asked and nothing is given."""
    answer = tidegate("replay", "--id", "nobody", "--to", "scan", "--name", name)
    assert answer.code == 2
    assert "name" in answer.err


async def test_rebuild_makes_the_same_documents(installed: Installed, ready: dict[str, Any]) -> None:
    """Dropped and made anew from records and the stream, every document is the same to the byte."""
    settings = installed.info.settings()

    async def settled() -> dict[str, Any]:
        documents = await _documents(settings)
        while (again := await _documents(settings)) != documents:
            documents = again
        return documents

    before = await settled()
    assert before[ready["media_id"]]["state"] == "ready"
    answer = await asyncio.to_thread(installed.tidegate, "replay", "--rebuild", "--json")
    assert answer.code == 0, answer
    assert answer.json["documents"] == len(before)
    assert answer.json["records"] >= 1
    assert await _documents(settings) == before


async def _documents(settings: Settings) -> dict[str, Any]:
    async with AsyncMongoClient[dict[str, Any]](settings.mongo_url) as client:
        found = client[settings.mongo_database][COLLECTION].find({})
        return {document["_id"]: document async for document in found}
