"""What strangers wrote reaches a terminal as words, whatever is in it."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from bench.demo import main as demo
from cli.lines import live, said
from cli.output import emit, shown
from cli.printable import printable, printable_lines
from cli.upload import Result, results_table

HOSTILE = "a\x1b[2Jb\nready  forged\r\t\x9b\u202egnp\u2066\u200f[bold red]x[/]\udcff.pdf"
SAFE = r"a\x1b[2Jb\nready  forged\r\t\x9b\u202egnp\u2066\u200f[bold red]x[/]\udcff.pdf"


def _written(what: Any) -> str:
    console = Console(file=io.StringIO(), width=400, force_terminal=True, color_system="truecolor", highlight=False)
    console.print(what, soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _event(name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "0190-1",
        "type": f"tidegate.media.{name}.v1",
        "source": f"/functions/{name}",
        "time": "2026-01-01T00:00:00Z",
        "run": "0",
        "subject": "m",
        "data": data,
    }


def test_everything_that_is_not_a_visible_character_becomes_its_escape() -> None:
    """Escapes, line ends, C1, bidirectional controls and half pairs; letters of any script stay as they are."""
    assert printable(HOSTILE) == SAFE
    assert printable("Übung 測試 вода 🙂.pdf") == "Übung 測試 вода 🙂.pdf"
    assert printable_lines("one\n\ttwo\x1b[0m\nthree\r") == "one\n        two\\x1b[0m\nthree\\r"


def test_markup_in_a_name_is_inert() -> None:
    """Brackets are shown, and colour nothing."""
    assert _written(shown("[bold red]x[/]")) == "[bold red]x[/]\n"


def test_a_line_of_an_event_is_one_line() -> None:
    """As `tail` and the demonstration show it: a name and a reason forge neither lines nor colours."""
    media = {"content_type": "a/b", "size": 1, "owner": HOSTILE, "filename": HOSTILE}
    assert said(_event("requested", {"media": media})).endswith(f"by {SAFE}: {SAFE}")
    rejected = _event("rejected", {"code": "corrupt", "reason": HOSTILE})
    line = _written(live(rejected, HOSTILE))
    assert line.count("\n") == 1
    assert line.count(SAFE) == 2
    assert "\x1b[2J" not in line


def test_a_table_of_results_keeps_its_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """As `upload` and the demonstration end; what they say as JSON is ASCII and means the same."""
    result = Result(HOSTILE, "m", HOSTILE, HOSTILE, 1.0, HOSTILE)
    written = _written(results_table([result]))
    assert all(character.isprintable() or character in "\n\x1b" for character in written)
    assert "\x1b[2J" not in written
    emit({"file": HOSTILE})
    line = capsys.readouterr().out
    assert line.isascii()
    assert json.loads(line) == {"file": HOSTILE}


def test_a_directory_is_no_file_to_demonstrate_with(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says that it is one, and exits 2 before anything starts."""
    folder = tmp_path_factory.mktemp("folder")
    assert demo([str(folder)]) == 2
    assert f"{folder} is a directory" in capsys.readouterr().err
