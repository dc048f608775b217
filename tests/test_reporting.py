"""A failure is shown, whatever is left behind by the test that failed."""

import subprocess
import sys
from pathlib import Path

# Long enough that collecting garbage while it is parsed is certain.
FILLER = "\n".join(f"def filler_{number}(x):\n    return {{'a': [x + {number}, x * 2]}}\n" for number in range(400))
FAILING = """
class Left:
    def __del__(self):
        raise RuntimeError(str((lambda: 1)()) + "x")


def leave(count):
    for _ in range(count):
        left = Left()
        left.itself = left


def test_fails():
    leave(50)
    assert sum([1]) == 2
"""


def test_a_failure_is_shown_though_finalizers_raise_meanwhile(tmp_path: Path) -> None:
    """Garbage whose finalizer raises while a failure is being shown neither hides it nor ends the run."""
    (tmp_path / "test_failing.py").write_text(FAILING.replace("test_fails", "test_0") + FILLER)
    with (tmp_path / "test_failing.py").open("a") as module:
        for number in range(1, 10):
            module.write(f"\n\ndef test_{number}():\n    leave({50 * number})\n    assert sum([{number}]) == 0\n")
    options = ["-p", "tests.conftest", "-c", "/dev/null", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    shown = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", tmp_path, tmp_path, *options],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "SystemError" not in shown.stdout + shown.stderr
    assert "10 failed" in shown.stdout
    assert shown.returncode == 1
