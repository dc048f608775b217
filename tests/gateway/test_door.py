import asyncio
import json
import os
import signal
import sys
import time

import aiohttp
import jwt
import pytest

from gateway import openapi
from gateway.server import GRACE_SECONDS
from infra.local.threaded import ThreadedStack
from infra.tokens import LONGEST_TOKEN, TokenRefused, Verifier, issue
from tests.gateway.running import Running

SECRET = "s" * 32


def test_a_token_is_believed_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims come back as they were issued, and a remembered token expires as well."""
    verifier = Verifier(SECRET)
    token = issue(SECRET, owner="alice", scopes=["read"], lanes=["bulk"], audiences=["team"], seconds=60)
    for _ in range(2):
        claims = verifier.verify(token)
        assert (claims.owner, claims.lanes, claims.audiences) == ("alice", ("bulk",), ("team",))
        assert claims.may("read")
        assert not claims.may("upload")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 70)
    with pytest.raises(TokenRefused, match="expired"):
        verifier.verify(token)


def test_a_token_of_a_clock_that_is_ahead_is_believed() -> None:
    """When it was made is no condition: who issues tokens has another machine's clock."""
    token = jwt.encode({"sub": "a", "exp": int(time.time()) + 3600, "iat": time.time() + 60}, SECRET, "HS256")
    assert Verifier(SECRET).verify(token).owner == "a"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "x" * (LONGEST_TOKEN + 1),
        jwt.encode({"sub": "a", "exp": time.time() + 60}, "t" * 32, "HS256"),
        jwt.encode({"sub": "a", "exp": time.time() + 60}, "s" * 64, "HS512"),
        jwt.encode({"sub": "a", "exp": time.time() + 60}, "", "none"),
        jwt.encode({"sub": "a", "exp": time.time() - 60}, SECRET, "HS256"),
        jwt.encode({"sub": "a", "exp": time.time() + 60, "nbf": time.time() + 60}, SECRET, "HS256"),
        jwt.encode({"sub": "a"}, SECRET, "HS256"),
        jwt.encode({"exp": time.time() + 60}, SECRET, "HS256"),
        jwt.encode({"sub": "a", "exp": time.time() + 60, "lanes": ["express"]}, SECRET, "HS256"),
        jwt.encode({"sub": "a", "exp": time.time() + 60, "lanes": []}, SECRET, "HS256"),
        jwt.encode({"sub": "", "exp": time.time() + 60}, SECRET, "HS256"),
        jwt.encode({"sub": "a", "exp": time.time() + 60, "audiences": "team"}, SECRET, "HS256"),
    ],
    ids=range(14),
)
def test_a_token_that_is_not_right_is_refused(token: str) -> None:
    """Wrong key, wrong or no algorithm, expired, early, claims missing or impossible: refused, and not repeated."""
    with pytest.raises(TokenRefused) as refused:
        Verifier(SECRET).verify(token)
    assert len(token) < 10 or token not in str(refused.value)


def test_a_short_secret_is_no_secret() -> None:
    """Neither side works with a secret that can be guessed, and says how to get one."""
    with pytest.raises(ValueError, match="TIDEGATE_JWT_SECRET"):
        Verifier("short")
    with pytest.raises(ValueError, match="TIDEGATE_JWT_SECRET"):
        issue("", owner="alice")


async def test_nobody_enters_without_a_token(gateway: Running) -> None:
    """401 says how to ask, 403 which scope is missing."""
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}):
        answer = await gateway.call("POST", "/v1/uploads", token="", headers=headers, json={})
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
    answer = await gateway.call("POST", "/v1/uploads", token=gateway.token("alice", "read"), json={})
    assert answer.status == 403
    assert "`upload`" in answer.body["detail"]


async def test_every_error_is_a_problem(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """404, 405 and our own defects are problem+json as well, and a defect tells nothing of our insides."""
    assert (await gateway.call("GET", "/nothing")).body["type"] == "urn:tidegate:problem:not_found"
    answer = await gateway.call("PUT", "/v1/uploads")
    assert (answer.status, answer.body["type"]) == (405, "urn:tidegate:problem:method_not_allowed")
    assert answer.headers["allow"] == "POST"

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret insides")

    monkeypatch.setattr("gateway.media.status", broken)
    answer = await gateway.status(await gateway.requested())
    assert (answer.status, answer.body["type"]) == (500, "urn:tidegate:problem:internal")
    assert "insides" not in json.dumps(answer.body)


async def test_nobody_is_sent_where_host_says(gateway: Running) -> None:
    """An address with a slash too many is none: a redirect would lead to another scheme, or to somebody else."""
    for method, path in (("GET", "/healthz/"), ("GET", "/v1/media/"), ("GET", "/v1/events/"), ("POST", "/v1/uploads/")):
        answer = await gateway.call(method, path, headers={"Host": "evil.example"}, allow_redirects=False)
        assert answer.status in {404, 405}
        assert "location" not in answer.headers


async def test_health_names_everybody(gateway: Running) -> None:
    """The process answers, each server is named, test signatures are called so, and figures are there."""
    assert (await gateway.call("GET", "/healthz", token="")).body == {"status": "ok"}
    ready = await gateway.call("GET", "/readyz", token="")
    assert ready.status == 200, ready.body
    assert set(ready.body["dependencies"]) == {"nats", "mongo", "minio"}
    assert any("TEST SIGNATURES" in warning for warning in ready.body["warnings"])
    await gateway.requested()
    figures = (await gateway.call("GET", "/metrics", token="")).body.decode()
    assert 'tidegate_http_requests_total{method="POST",route="/v1/uploads",status="201"}' in figures


@pytest.mark.parametrize("name", ["nats", "mongo", "minio"])
async def test_readiness_names_who_is_frozen(gateway: Running, provisioned: ThreadedStack, name: str) -> None:
    """A server that doesn't answer makes it 503 within seconds, and it alone is named."""
    server = getattr(provisioned, name)
    server.freeze()
    try:
        async with asyncio.timeout(5):
            answer = await gateway.call("GET", "/readyz", token="")
    finally:
        server.thaw()
    assert answer.status == 503
    assert [one for one, state in answer.body["dependencies"].items() if not state["up"]] == [name]


async def test_the_log_has_neither_tokens_nor_names(gateway: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """The access log has method, route and status, and nothing that a client wrote."""
    token = gateway.token()
    await gateway.upload(token=token, filename="private-name.pdf")
    await gateway.call("GET", "/v1/media/private-path?private-query=1", token=token)
    await gateway.call("GET", "/v1/media?tag=private-tag", token=token)
    async with gateway.http.ws_connect(f"{gateway.url}/v1/events?event=private", protocols=["bearer", token]):
        pass
    out, err = capsys.readouterr()
    assert "http.request" in out + err
    assert "private" not in out + err
    assert token not in out + err


def test_the_published_description_is_current() -> None:
    """schemas/generated/openapi.json is what the code says; `python -m gateway.openapi` writes it."""
    assert openapi.PATH.read_text() == openapi.document()
    described = json.loads(openapi.document())
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/v1"):
                assert {"bearer": []} in operation["security"], (method, path)
                assert "401" in operation["responses"]


async def test_the_process_ends_cleanly(provisioned: ThreadedStack) -> None:
    """`python -m gateway` serves from its environment; SIGTERM with open streams ends them and it, with 0, unforced."""
    environment = {**os.environ, **provisioned.environment("gateway"), "TIDEGATE_LOG_FORMAT": "json"}
    environment["TIDEGATE_GATEWAY_PORT"] = "0"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            said = json.loads(await process.stderr.readline())
        assert said["event"] == "gateway.listening"
        token = issue(environment["TIDEGATE_JWT_SECRET"], owner="alice")
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            wish = {"filename": "a", "content_type": "text/plain", "size": 1}
            async with http.post(f"{said['url']}/v1/uploads", json=wish) as response:
                media_id = (await response.json())["media_id"]
            async with (
                http.get(f"{said['url']}/v1/media/{media_id}/events") as response,
                http.get(f"{said['url']}/v1/events") as everything,
                http.ws_connect(f"{said['url']}/v1/events") as websocket,
            ):
                assert await response.content.readline() == b"retry: 1000\n"
                assert await everything.content.readline() == b"retry: 1000\n"
                assert "id" in await websocket.receive_json()
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                await response.read()
                assert b'"reason": "closing"' in await everything.read()
                assert (await websocket.receive()).data == aiohttp.WSCloseCode.SERVICE_RESTART
                assert await process.wait() == 0
                assert time.monotonic() - began < GRACE_SECONDS
        said = await process.stderr.read()
        assert b"Traceback" not in said, said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_process_without_nats_says_so(provisioned: ThreadedStack) -> None:
    """Refused credentials end it with 3 and name NATS, not the password."""
    environment = {**os.environ, **provisioned.environment("gateway"), "TIDEGATE_GATEWAY_PORT": "0"}
    environment["TIDEGATE_NATS_URL"] = f"nats://gateway:wrong@127.0.0.1:{provisioned.info.ports['nats']}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        _, said = await process.communicate()
    assert process.returncode == 3
    assert b"nats" in said.lower()
    assert b"wrong" not in said
