"""What processes cost: CPU seconds between two moments, and peak memory, from /proc."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds (user and system) and peak resident bytes of a process and, apart, of all its descendants."""

    cpu: float
    peak: int


def usage(pid: int) -> Usage:
    """One process as it stands; zero once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return Usage(0.0, 0)
    peak = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
    return Usage((int(fields[11]) + int(fields[12])) / TICK, peak)


def resident(pid: int) -> int:
    """Resident bytes now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def reset_peak(pid: int) -> None:
    """Begin measuring peak memory anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descendants(pid: int) -> list[int]:
    """Children, their children and so on."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


class Account:
    """CPU and peaks of named processes, from a moment on; children of one are summed under `<name> children`."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = {pid: usage(pid).cpu for pid in self._all()}

    def report(self) -> dict[str, dict[str, float]]:
        """CPU seconds since the beginning, and peak MiB."""
        lines: dict[str, dict[str, float]] = {}
        for name, pids in self._named().items():
            spent = [(usage(pid), self._before.get(pid, 0.0)) for pid in pids]
            if not spent:
                continue
            lines[name] = {
                "cpu_seconds": round(sum(now.cpu - before for now, before in spent), 2),
                "peak_mib": round(max(now.peak for now, _ in spent) / MIB, 1),
            }
        return lines

    def _named(self) -> dict[str, list[int]]:
        named: dict[str, list[int]] = {}
        for name, pid in self._pids.items():
            named[name] = [pid]
            if pid != os.getpid():
                named[f"{name} children"] = descendants(pid)
        return named

    def _all(self) -> list[int]:
        return [pid for pids in self._named().values() for pid in pids]
