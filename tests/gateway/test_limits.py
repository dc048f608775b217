"""How much one owner may ask for: requests of one gateway, uploads and bytes of all gateways together."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from prometheus_client import REGISTRY
from pydantic_core import from_json
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from gateway.rates import MOST_REMEMBERED, Rates
from infra.documents import Documents
from infra.local.threaded import ThreadedStack
from infra.quotas import QUOTAS, Allowance, Quotas
from schemas.document import Fold
from schemas.subjects import everything
from tests.gateway.conftest import running
from tests.gateway.running import Running
from tests.gateway.test_media import conforms

# One window that no test crosses.
WINDOW = 366 * 86400


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of rates."""
    made = Clock()
    monkeypatch.setattr("gateway.rates.monotonic", made)
    return made


def test_a_burst_is_taken_and_then_the_rate(clock: Clock) -> None:
    """So many at once, then one each interval; what is refused isn't counted, and waiting fills the bucket."""
    rates = Rates(10, 5)
    assert [rates.take("a") for _ in range(5)] == [0] * 5
    wait = rates.take("a")
    assert wait == rates.take("a") == pytest.approx(0.1)
    assert rates.take("b") == 0
    clock.now += wait + 1e-6
    assert rates.take("a") == 0
    assert rates.take("a") > 0
    clock.now += 1000
    assert [bool(rates.take("a")) for _ in range(6)] == [False] * 5 + [True]


def test_owners_are_not_remembered_for_ever(clock: Clock) -> None:
    """Thousands who came once are forgotten; who is held back is not."""
    rates = Rates(1, 1)
    for number in range(MOST_REMEMBERED - 1):
        rates.take(f"{number}")
    clock.now += 100
    assert rates.take("greedy") == 0
    assert rates.take("late") == 0
    assert rates.remembered == 2
    assert rates.take("greedy") > 0


def test_no_rate_is_no_limit() -> None:
    """0 keeps nothing and refuses nothing."""
    rates = Rates(0, 1)
    assert not any(rates.take("a") for _ in range(10_000))
    assert rates.remembered == 0


async def test_too_many_requests_are_told_when_to_come_again(provisioned: ThreadedStack, clock: Clock) -> None:
    """A 429 names the rate and the seconds, of whatever is asked; others go on, and after that time so does he."""
    async with running(provisioned, rate_per_second=2, rate_burst=4) as gateway:
        for path in ("/v1/media", "/v1/media/x", "/v1/media", "/v1/media/x"):
            assert (await gateway.call("GET", path)).status in {200, 404}
        for method, path in (
            ("GET", "/v1/media"),
            ("POST", "/v1/uploads"),
            ("GET", "/v1/events"),
            ("DELETE", "/v1/media/x"),
        ):
            answer = await gateway.call(method, path)
            assert (answer.status, answer.body["type"]) == (429, "urn:tidegate:problem:rate_limited")
            conforms(answer.body, "Problem")
            assert "2 requests a second" in answer.body["detail"]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            await gateway.http.ws_connect(f"{gateway.url}/v1/events", protocols=["bearer", gateway.token()])
        assert (await gateway.upload(token=gateway.token("bob"))).status == 201
        assert (await gateway.call("GET", "/healthz", token="")).status == 200
        clock.now += int(answer.headers["retry-after"])
        assert (await gateway.upload()).status == 201


@pytest.fixture
async def counters(provisioned: ThreadedStack) -> AsyncGenerator[Any]:
    """The counters, as the operator sees them."""
    settings = provisioned.settings("operator")
    async with AsyncMongoClient[dict[str, Any]](settings.mongo_url) as client:
        yield client[settings.mongo_database][QUOTAS]


async def test_a_quota_holds_across_gateways(provisioned: ThreadedStack, counters: Any) -> None:
    """Of forty uploads sent to two gateways at once exactly as many are taken as may be, from the very first on."""
    limits = {"quota_uploads": 15, "quota_window_seconds": WINDOW}
    owner = f"owner {uuid4()}"
    async with running(provisioned, **limits) as one, running(provisioned, **limits) as two:
        answers = await asyncio.gather(*(each.upload(token=each.token(owner)) for each in [one, two] * 20))
        assert sorted(answer.status for answer in answers) == [201] * 15 + [429] * 25
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.body["type"] == "urn:tidegate:problem:quota_exceeded"
        assert (refused.body["limit_uploads"], refused.body["limit_bytes"]) == (15, None)
        assert 0 < int(refused.headers["retry-after"]) <= WINDOW
        assert (await one.upload(token=one.token(f"owner {uuid4()}"))).status == 201
    (counter,) = await counters.find({"_id": {"$regex": owner}}).to_list()
    assert (counter["uploads"], counter["size"]) == (15, 15_000)


async def test_bytes_are_counted_as_they_are_asked_for(provisioned: ThreadedStack) -> None:
    """What fits is taken to the byte, what doesn't is a 429, and what could never fit a 413 that says so."""
    async with running(provisioned, quota_bytes=10_000, quota_window_seconds=WINDOW) as gateway:
        token = gateway.token(f"owner {uuid4()}")
        for size, status in ((10_001, 413), (9_000, 201), (1_001, 429), (1_000, 201), (0, 201), (1, 429)):
            answer = await gateway.upload(token=token, size=size)
            assert answer.status == status, size
        assert answer.body["limit_bytes"] == 10_000
        assert (await gateway.upload(token=token, size=10_001)).body["type"].endswith("larger_than_quota")
        # What isn't valid costs nothing, and is told before.
        assert (await gateway.upload(token=token, size=-1)).status == 422


async def test_a_new_window_begins_anew(provisioned: ThreadedStack) -> None:
    """Windows are the same for every gateway, and a counter is forgotten some time after its own."""
    settings = provisioned.settings("gateway")
    allowance = Allowance(1, 0, 3600)
    now = datetime(2026, 1, 2, 3, 59, 59, tzinfo=UTC)
    assert allowance.window(now) == (datetime(2026, 1, 2, 3, tzinfo=UTC), datetime(2026, 1, 2, 4, tzinfo=UTC))
    async with aclosing(Quotas(settings.mongo_url, settings.mongo_database, allowance)) as quotas:
        owner = f"owner {uuid4()}"
        assert await quotas.take(owner, 1, now)
        assert not await quotas.take(owner, 1, now)
        assert await quotas.take(owner, 1, now + timedelta(seconds=1))
        await quotas.give_back(owner, 1, now)
        assert await quotas.take(owner, 1, now)
    async with aclosing(Quotas.from_settings(provisioned.settings("operator"))) as operator:
        assert await operator.provision() == []


async def test_what_never_came_holds_up_more(provisioned: ThreadedStack) -> None:
    """Uploads that were asked for and have not come are bounded, and one that came makes room."""
    async with running(provisioned, pending_uploads=2) as gateway:
        token = gateway.token(owner := f"owner {uuid4()}")

        async def recorded(*media_ids: str, last: bool = True) -> None:
            async with aclosing(Documents.from_settings(provisioned.settings("functions"))) as documents:
                for media_id in media_ids:
                    stored = await gateway.operator.last("MEDIA", [everything(media_id)])
                    known = await documents.get(media_id)
                    fold = Fold.of(media_id, [from_json(one.data) for one in stored])
                    assert await documents.write({media_id: (known.digest() if known else None, fold)})

        asked = [await gateway.requested(token=token) for _ in range(2)]
        await recorded(*asked)
        answer = await gateway.upload(token=token)
        assert (answer.status, answer.body["type"]) == (429, "urn:tidegate:problem:too_many_pending")
        assert (answer.body["limit"], "retry-after" in answer.headers) == (2, True)
        deleted = await gateway.call("DELETE", f"/v1/media/{asked[0]}", token=gateway.token(owner))
        assert deleted.status == 202
        await recorded(asked[0])
        assert (await gateway.upload(token=token)).status == 201


async def test_uploads_are_taken_uncounted_while_mongodb_is_away(provisioned: ThreadedStack) -> None:
    """MongoDB frozen: the first upload waits half a second, the next not at all; figures and log say so."""

    def unchecked() -> float:
        return REGISTRY.get_sample_value("tidegate_quota_unchecked_total") or 0

    async with running(provisioned, quota_uploads=1, quota_window_seconds=WINDOW, pending_uploads=1) as gateway:
        token = gateway.token(f"owner {uuid4()}")
        assert (await gateway.upload(token=token)).status == 201
        before = unchecked()
        provisioned.mongo.freeze()
        try:
            began = time.monotonic()
            assert (await gateway.upload(token=token)).status == 201
            assert time.monotonic() - began < 2
            began = time.monotonic()
            assert (await gateway.upload(token=token)).status == 201
            assert time.monotonic() - began < 0.3
        finally:
            provisioned.mongo.thaw()
        assert unchecked() == before + 2


async def test_what_was_not_put_on_record_is_not_counted(provisioned: ThreadedStack) -> None:
    """NATS frozen: a 503, and the quota is as it was."""
    async with running(provisioned, quota_uploads=1, quota_window_seconds=WINDOW) as gateway:
        token = gateway.token(f"owner {uuid4()}")
        provisioned.nats.freeze()
        try:
            assert (await gateway.upload(token=token)).status == 503
        finally:
            provisioned.nats.thaw()
        async with asyncio.timeout(20):
            while (answer := await gateway.upload(token=token)).status == 503:
                pass
        assert answer.status == 201
        assert (await gateway.upload(token=token)).status == 429


async def test_a_quota_that_is_off_asks_nobody(gateway: Running) -> None:
    """Without limits nothing is counted, whoever is away."""
    assert not gateway.services.quota.limits
    assert await gateway.services.quota.take("anybody", 1, datetime.now(UTC)) is False


async def test_a_gateway_writes_counters_and_nothing_else(provisioned: ThreadedStack) -> None:
    """Its rights end at its own collection: it can't delete a counter, nor write a document."""
    settings = provisioned.settings("gateway")
    async with AsyncMongoClient[dict[str, Any]](settings.mongo_url) as client:
        database = client[settings.mongo_database]
        await database[QUOTAS].update_one({"_id": "mine"}, {"$inc": {"uploads": 1}}, upsert=True)
        for refused in (
            database[QUOTAS].delete_one({"_id": "mine"}),
            database["media"].insert_one({"_id": "mine"}),
            database["media"].update_one({"_id": "mine"}, {"$set": {"owner": "mallory"}}),
            database["other"].insert_one({"_id": "mine"}),
        ):
            with pytest.raises(OperationFailure):
                await refused
