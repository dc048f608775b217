"""Old signatures and a clamd that doesn't mean its OK are said by `health`; a newer set condemns what it let in."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from infra.objects import Objects
from infra.tokens import issue
from tests.cli.conftest import Installed
from tests.cli.running import eventually, tidegate
from tests.infra.servers import clamd_server, daily_database, reload


@pytest.mark.parametrize("days", [2, 4])
def test_health_tells_old_signatures(installed: Installed, days: int) -> None:
    """From three days on (as set) their age is a problem, with what to do about it; younger ones are none."""
    made = datetime.now(UTC) - timedelta(days=days, hours=1)
    with clamd_server(database={"daily.cud": daily_database(27450, made)}) as server:
        told = {"TIDEGATE_CLAMD_SOCKET": str(server.path), "TIDEGATE_SIGNATURES_LABEL": ""}
        told = installed.info.environment() | told
        answer = tidegate("health", "--json", variables=told)
        later = tidegate("health", "--json", variables=told | {"TIDEGATE_SIGNATURES_MAX_AGE_DAYS": "1000"})
    findings = {one["name"]: one for one in answer.json["findings"]}
    assert findings["clamd"]["status"] == "up"
    assert "27450" in findings["clamd"]["detail"]
    assert ("signatures" in findings) is (days > 3)
    if days > 3:
        assert answer.code == 1
        assert findings["signatures"]["status"] == "problem"
        assert f"{days} days old" in findings["signatures"]["detail"]
        assert "freshclam" in findings["signatures"]["detail"]
    assert answer.json["test_signatures"] is False
    assert "signatures" not in later.json["problems"]


def test_health_tells_a_clamd_that_does_not_mean_its_ok(installed: Installed) -> None:
    """Encrypted archives that are called clean are a problem, not a detail."""
    with clamd_server(changes={"AlertEncrypted": "no"}) as server:
        told = installed.info.environment() | {"TIDEGATE_CLAMD_SOCKET": str(server.path)}
        answer = tidegate("health", "--json", variables=told)
    assert answer.code == 1
    assert "clamd" in answer.json["problems"]
    assert "AlertEncrypted yes" in next(one["detail"] for one in answer.json["findings"] if one["name"] == "clamd")


async def test_a_new_signature_condemns_a_ready_file(installed: Installed, tmp_path: Path) -> None:
    """As an operator does it: `replay --id … --to scan`; then nothing of it is in permanent/, and its owner is told."""
    body = b"Not known as evil yet: " + secrets.token_hex(12).encode()
    file = tmp_path / "later.txt"
    file.write_bytes(body)
    uploaded = (await asyncio.to_thread(installed.tidegate, "upload", file, "--json")).json["files"][0]
    media_id = uploaded["media_id"]
    assert uploaded["state"] == "ready"
    signature = f"Late-Test-Signature:0:*:{body.hex()}\n"
    (installed.data / "clamd" / "signatures" / "late.ndb").write_text(signature)
    await reload(installed.info.clamd_socket)
    log = installed.data / "logs" / "clamd.log"
    await asyncio.to_thread(eventually, lambda: "Database correctly reloaded" in log.read_text())

    given = await asyncio.to_thread(
        installed.tidegate, "replay", "--id", media_id, "--to", "scan", "--name", "late", "--json"
    )
    assert given.code == 0, given
    token = issue(installed.info.secrets["jwt"], owner=uploaded.get("owner", "operator"), scopes=("read",))

    async def status() -> dict[str, object]:
        url = f"{installed.info.environment()['TIDEGATE_GATEWAY_URL']}/v1/media/{media_id}"
        async with aiohttp.ClientSession() as http, http.get(url, headers={"Authorization": f"Bearer {token}"}) as got:
            assert got.status == 200, await got.text()
            return await got.json()

    def quarantined() -> bool:
        told = installed.tidegate("trace", media_id, "--json").json
        return told["state"] == "quarantined" and any(
            event["type"] == "tidegate.media.discarded.v1" and event["run"] == given.json["run"]
            for event in told["events"]
        )

    await asyncio.to_thread(eventually, quarantined)
    said = await status()
    assert said["state"] == "quarantined"
    assert said["original"] is None
    assert "Late-Test-Signature" in str(said["verdict"])
    async with Objects.from_settings(installed.info.settings("operator")) as objects:
        assert not [
            entry.key
            for prefix in ("temp", "permanent", "work")
            for entry in [entry async for entry in objects.list(f"{prefix}/{media_id}")]
        ]
        assert [entry.key async for entry in objects.list(f"quarantine/{media_id}")] == [f"quarantine/{media_id}"]
