"""Who may have a file, and who may not: strangers, audiences, links that are over, and names that lead elsewhere."""

import time
from typing import Any

import jwt
import pytest

from infra.grants import AUDIENCE, Grants
from infra.local.threaded import ThreadedStack
from infra.tokens import issue
from tests.gateway.conftest import running
from tests.gateway.delivering import Delivered
from tests.gateway.running import Answer, Running

PATHS = (
    "/files/original",
    "/files/thumb.webp",
    "/files/stream/seg-0-00001.m4s",
    "/file?quality=low",
    "/hls/master.m3u8",
    "/hls/stream/media_0.m3u8",
    "/dash/manifest.mpd",
)


async def shared(gateway: Running, stack: ThreadedStack) -> Delivered:
    """A video of alice's that her team may see, with a stream and a picture."""
    token = gateway.token("alice", audiences=["team"])
    one = await Delivered.of(gateway, stack, "video/mp4", b"film", promised=["stream"], audience=["team"], token=token)
    await one.streamed()
    await one.made("sizes", {"thumb.webp": b"webp", "thumb.mp4": b"mp4"}, facts={"thumb": {"quality": "low"}})
    return one


async def ask(one: Delivered, path: str, token: str = "", grant: str = "") -> Answer:
    """What somebody gets at an address of the media."""
    joined = f"{path}{'&' if '?' in path else '?'}grant={grant}" if grant else path
    return await one.gateway.call("GET", one.path(joined), token=token, allow_redirects=False)


def grants(gateway: Running) -> Grants:
    """What gives links as this gateway does."""
    return Grants(gateway.settings.jwt_secret.get_secret_value())


async def test_owner_and_audience_read_and_nobody_else(gateway: Running, provisioned: ThreadedStack) -> None:
    """Others get the 404 of what doesn't exist; without token or grant it is 401."""
    one = await shared(gateway, provisioned)
    grant = grants(gateway).give(one.media_id, "alice", int(time.time()) + 60)
    for path in PATHS:
        for token in (gateway.token("alice"), gateway.token("bob", audiences=["team"])):
            assert (await ask(one, path, token)).status in {200, 307}
        assert (await ask(one, path, grant=grant)).status in {200, 307}
        for token in (gateway.token("mallory"), gateway.token("mallory", audiences=["other"])):
            answer = await ask(one, path, token)
            assert (answer.status, answer.body["type"]) == (404, "urn:tidegate:problem:media_not_found")
        assert (await ask(one, path, gateway.token("bob", "upload", audiences=["team"]))).status == 403
        assert (await ask(one, path)).status == 401


async def test_a_grant_is_for_one_media_and_for_a_while(gateway: Running, provisioned: ThreadedStack) -> None:
    """Another media's is a 404, one that is over, forged or something else a 401; none of them is repeated."""
    one, other = await shared(gateway, provisioned), await shared(gateway, provisioned)
    now, secret = int(time.time()), gateway.settings.jwt_secret.get_secret_value()
    good: dict[str, Any] = {"media": one.media_id, "by": "0" * 16, "exp": now + 60, "aud": AUDIENCE}
    assert (await ask(one, "/files/thumb.webp", grant=jwt.encode(good, secret, "HS256"))).status == 307
    elsewhere = await ask(other, "/files/thumb.webp", grant=jwt.encode(good, secret, "HS256"))
    assert (elsewhere.status, elsewhere.body["type"]) == (404, "urn:tidegate:problem:media_not_found")
    for wrong in (
        jwt.encode(good | {"exp": now - 60}, secret, "HS256"),
        jwt.encode(good, "x" * 32, "HS256"),
        jwt.encode(good, secret, "HS512"),
        jwt.encode(good, "", "none"),
        jwt.encode(good | {"aud": "somebody"}, secret, "HS256"),
        jwt.encode({name: good[name] for name in ("media", "by", "exp")}, secret, "HS256"),
        jwt.encode({name: good[name] for name in ("media", "by", "aud")}, secret, "HS256"),
        jwt.encode(good | {"scope": "delete"}, secret, "HS256"),
        jwt.encode(good | {"media": "*"}, secret, "HS256"),
        gateway.token("alice"),
        "x" * 4000,
        "..",
    ):
        answer = await ask(one, "/files/thumb.webp", grant=wrong)
        assert (answer.status, answer.body["type"]) == (401, "urn:tidegate:problem:token_refused")
        assert wrong not in str(answer.body) or len(wrong) < 10


async def test_a_grant_opens_nothing_else(gateway: Running, provisioned: ThreadedStack) -> None:
    """It is no token: not for the status, its events, a listing, an upload or a deletion, in the query or a header."""
    one = await shared(gateway, provisioned)
    grant = grants(gateway).give(one.media_id, "alice", int(time.time()) + 60)
    for method, path in (
        ("GET", one.path()),
        ("GET", one.path("/events")),
        ("DELETE", one.path()),
        ("GET", "/v1/media"),
        ("GET", "/v1/events"),
        ("POST", "/v1/uploads"),
    ):
        for token, query in (("", f"?grant={grant}"), (grant, "")):
            assert (await gateway.call(method, f"{path}{query}", token=token)).status == 401


async def test_a_grant_does_not_outlive_its_media(gateway: Running, provisioned: ThreadedStack) -> None:
    """Deleted or condemned, its links answer 410, whoever has them."""
    for end in ("deleted", "quarantined"):
        one = await shared(gateway, provisioned)
        grant = grants(gateway).give(one.media_id, "alice", int(time.time()) + 60)
        assert (await ask(one, "/file?quality=low", grant=grant)).status == 307
        await (one.deleted() if end == "deleted" else one.story.quarantine())
        for path in PATHS:
            assert (await ask(one, path, grant=grant)).status == 410


ELSEWHERE = (
    "../{other}/original.mp4",
    "..%2F{other}%2Foriginal.mp4",
    "stream/../../{other}/thumb.webp",
    "stream/..%2f..%2f{other}%2fthumb.webp",
    "%2e%2e/%2e%2e/quarantine/{id}",
    "/permanent/{id}/thumb.webp",
    "permanent/{id}/thumb.webp",
    "quarantine/{id}",
    "temp/{id}",
    "original.mp4",
    "thumb.webp/",
    "thumb.webp%00",
    "THUMB.webp",
    "stream/",
    "stream",
    "stream/.m4s",
    "stream/seg-0-00001.m4s/x.m4s",
    "stream/seg-0-00001.txt",
    "stream/manifest.mpd.m4s",
    "other/seg-0-00001.m4s",
    "records/{id}.json",
    "",
    "%F0%9F%92%A9.webp",
    "x" * 3000 + ".webp",
)


async def test_only_names_that_are_listed(gateway: Running, provisioned: ThreadedStack) -> None:
    """A name that no event of this media's has is a 404 and never a key, whatever it looks like."""
    one, other = await shared(gateway, provisioned), await shared(gateway, provisioned)
    for name in ELSEWHERE:
        path = f"/files/{name.format(id=one.media_id, other=other.media_id)}"
        for query in ("", "?redirect=false"):
            answer = await ask(one, path + query, gateway.token("alice"))
            assert answer.status == 404, (name, answer)


async def test_only_playlists_of_the_stream(gateway: Running, provisioned: ThreadedStack) -> None:
    """What isn't a playlist's name beside the master is a 404."""
    one = await shared(gateway, provisioned)
    for name in (
        "..%2fmaster.m3u8",
        "media_0.m3u8%2fx",
        "stream/seg-0-00001.m4s",
        "manifest.mpd",
        "x/media_0.m3u8",
        "",
    ):
        assert (await ask(one, f"/hls/{name}", gateway.token("alice"))).status == 404, name
    for name in ("master.m3u8", "stream/seg-0-00001.m4s", "stream/nothing.mpd"):
        assert (await ask(one, f"/dash/{name}", gateway.token("alice"))).status == 404, name


async def test_a_file_of_nobody_s_media_is_not_found(gateway: Running, provisioned: ThreadedStack) -> None:
    """Ids that are none, and one that never was."""
    one = await shared(gateway, provisioned)
    grant = grants(gateway).give("019a3c1e-0000-7000-8000-000000000000", "alice", int(time.time()) + 60)
    for media_id in ("*", "%3E", "019a3c1e-0000-7000-8000-000000000000", one.media_id.upper()):
        for query, token in (("", gateway.token("alice")), (f"?grant={grant}", "")):
            answer = await gateway.call("GET", f"/v1/media/{media_id}/files/original{query}", token=token)
            assert answer.status == 404


async def test_grants_are_counted_by_who_was_given_them(provisioned: ThreadedStack) -> None:
    """Too many requests with a link are refused, while who it was given for goes on with a token."""
    async with running(provisioned, rate_per_second=0.01, rate_burst=6) as gateway:
        one = await shared(gateway, provisioned)
        grant = grants(gateway).give(one.media_id, "alice", int(time.time()) + 60)
        statuses = [(await ask(one, "/files/thumb.webp", grant=grant)).status for _ in range(7)]
        assert statuses == [307] * 6 + [429]
        assert (await ask(one, "/files/thumb.webp", gateway.token("alice"))).status == 307


async def test_neither_grants_nor_names_are_logged(
    gateway: Running, provisioned: ThreadedStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Good, refused or broken, the log has the route of a request and nothing of its address."""
    one = await shared(gateway, provisioned)
    grant = grants(gateway).give(one.media_id, "alice", int(time.time()) + 60)
    await one.put({f"permanent/{one.media_id}/stream/media_1.m3u8": b"#EXTM3U\nhttp://evil.example/x.m4s\n"})
    for path in (*PATHS, "/files/private.webp", "/hls/stream/media_1.m3u8", "/file?quality=private"):
        await ask(one, path, grant=grant)
        await ask(one, path, grant=grant[:-4])
    out, err = capsys.readouterr()
    assert "/v1/media/{media_id}/files/{name:path}" in out + err
    assert "playlist.broken" in out + err
    assert grant[:40] not in out + err
    assert "private" not in out + err


def test_a_grant_says_nothing_of_its_owner() -> None:
    """Anybody can read a token; a long name makes it no longer, and equal arguments give an equal one."""
    one = Grants("s" * 32)
    grant = one.give("019a3c1e-0000-7000-8000-000000000000", "alice" * 50, 2_000_000_000)
    assert grant == one.give("019a3c1e-0000-7000-8000-000000000000", "alice" * 50, 2_000_000_000)
    assert len(grant) < 320
    assert "alice" not in str(jwt.decode(grant, options={"verify_signature": False}))
    assert one.check(grant).media == "019a3c1e-0000-7000-8000-000000000000"
    assert issue("s" * 32, owner="alice") != grant
