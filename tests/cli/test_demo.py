"""`make demo`: every file ends as it should, everything is stopped, and nothing is left behind."""

import signal
import subprocess
import sys
from pathlib import Path

from bench.samples import SAMPLES
from tests.cli.running import environment, eventually, processes_of
from tests.samples.documents import pdf

DEMO = (sys.executable, "-m", "bench.demo")


def demo(folder: Path, *files: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it with its temporary data in a folder."""
    command = [*DEMO, *map(str, files)]
    variables = environment(TMPDIR=str(folder))
    return subprocess.run(command, capture_output=True, text=True, timeout=360, check=False, env=variables)


def test_the_samples_end_as_they_should(tmp_path: Path) -> None:
    """Ready, quarantined or rejected, each with its reason; events were shown on the way; exit code 0."""
    shown = demo(tmp_path)
    assert shown.returncode == 0, shown
    for word in ("promoted", "quarantined", "Eicar", "type_refused", "truncated", "TEST SIGNATURES", "permanent/"):
        assert word in shown.stdout
    assert f"All {len(SAMPLES)} files ended as they should" in shown.stdout
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == {}


def test_a_user_s_own_files_may_end_anyhow_but_failed(tmp_path: Path) -> None:
    """A good file and a refused one: both ended, exit code 0; a file that isn't there is a usage error."""
    good, other = tmp_path / "my report.pdf", tmp_path / "picture.png"
    good.write_bytes(pdf())
    other.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    shown = demo(tmp_path, good, other)
    assert shown.returncode == 0, shown
    assert "my report.pdf" in shown.stdout
    assert "rejected" in shown.stdout
    missing = demo(tmp_path, tmp_path / "missing.pdf")
    assert missing.returncode == 2
    assert "missing.pdf" in missing.stderr


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    """Interrupted while it starts, it leaves neither processes nor files."""
    with subprocess.Popen(
        DEMO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(TMPDIR=str(tmp_path))
    ) as running:
        eventually(lambda: any("nats-server" in command for command in processes_of(tmp_path).values()))
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
    assert processes_of(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
