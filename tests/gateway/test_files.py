"""Files over HTTP: listed, linked, whole or in parts, known again, and gone when they are deleted."""

import hashlib
from typing import Any

import aiohttp
import pytest

from infra.local.threaded import ThreadedStack
from schemas.renditions import ImageDescription
from tests.gateway.conftest import running
from tests.gateway.delivering import Delivered
from tests.gateway.running import Answer, Running
from tests.gateway.test_media import conforms

BODY = bytes(range(256)) * 40
LOOK = ImageDescription(thumbhash="3OcRJYB4d3h/iIeHeEh3eIhw+j2w", color="#aabbcc", perceptual_hash="0123456789abcdef")
FORMATS = ("webp", "jpg")
SIZES = {
    "thumb": {"width": 300, "height": 200, "quality": "low"},
    "full": {"width": 2048, "height": 1365, "quality": "high"},
}


async def picture(gateway: Running, stack: ThreadedStack, **wish: Any) -> Delivered:
    """A picture with two sizes in two formats, and a description."""
    one = await Delivered.of(gateway, stack, "image/jpeg", BODY, promised=["sizes"], optional=["description"], **wish)
    files = {f"{size}.{kind}": f"{size} {kind}".encode() * 50 for size in SIZES for kind in FORMATS}
    await one.made("sizes", files, facts=SIZES)
    await one.made("description", {}, LOOK)
    await one.ready()
    return one


async def get(one: Delivered, path: str, method: str = "GET", **headers: str) -> Answer:
    """What an address of the media answers, redirects not followed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await one.gateway.call(method, one.path(path), headers=named, allow_redirects=False)


async def fetched(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """What somebody without a token finds at a URL."""
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        return response.status, await response.read(), {k.lower(): v for k, v in response.headers.items()}


@pytest.mark.parametrize("delivery", ["redirect", "proxy"])
async def test_the_status_lists_what_was_made(provisioned: ThreadedStack, delivery: str) -> None:
    """Products with their outcome, renditions with an address that needs no token, descriptions by product."""
    async with running(provisioned, delivery=delivery) as gateway:
        one = await picture(gateway, provisioned)
        body = await one.status()
        conforms(body, "MediaStatus")
        assert [(each["name"], each["required"], each["state"]) for each in body["products"]] == [
            ("sizes", True, "done"),
            ("description", False, "done"),
        ]
        assert body["descriptions"] == {"description": LOOK.model_dump()}
        listed = {each["name"]: each for each in body["renditions"]}
        assert set(listed) == {"thumb.webp", "thumb.jpg", "full.webp", "full.jpg"}
        thumb = listed["thumb.webp"]
        assert (thumb["width"], thumb["height"], thumb["quality"], thumb["product"]) == (300, 200, "low", "sizes")
        assert (body["hls"], body["dash"], body["playable"]) == (None, None, False)
        for each in (*listed.values(), body["original"]):
            status, sent, _ = await fetched(each["url"])
            assert (status, len(sent)) == (200, each["size"])
            assert each.get("sha256") == hashlib.sha256(sent).hexdigest()
            assert each["url"].startswith(gateway.url) is (delivery == "proxy")
        status, sent, _ = await fetched(f"{body['file']}&quality=low")
        assert (status, sent) == (200, b"thumb jpg" * 50)


async def test_addresses_stay_the_same_for_a_while(gateway: Running, provisioned: ThreadedStack) -> None:
    """Asked twice, the same addresses: a browser that has the file knows it again."""
    one = await picture(gateway, provisioned)
    first, second = [
        [each["url"] for each in (*body["renditions"], body["original"])] + [body["file"]]
        for body in (await one.status(), await one.status())
    ]
    assert first == second


async def test_an_upload_token_gets_no_address(gateway: Running, provisioned: ThreadedStack) -> None:
    """With scope `upload` alone its owner sees what was made, and nothing to fetch it by."""
    one = await picture(gateway, provisioned)
    body = await one.status(gateway.token("alice", "upload"))
    assert [each["url"] for each in body["renditions"]] == [None] * 4
    assert (body["file"], body["hls"], body["links_expire_at"], body["original"]["url"]) == (None, None, None, None)
    answer = await gateway.call("GET", one.path("/files/thumb.webp"), token=gateway.token("alice", "upload"))
    assert (answer.status, answer.body["type"]) == (403, "urn:tidegate:problem:scope_missing")


async def test_products_say_how_far_they_are_and_why_not(gateway: Running, provisioned: ThreadedStack) -> None:
    """Pending, skipped with code and sentence, failed with its error; whoever makes none is named."""
    one = await Delivered.of(gateway, provisioned, promised=["sizes", "more"], optional=["description", "odd"])
    await one.skipped("description")
    await one.failed("sizes", required=True)
    await one.skipped("odd")
    body = await one.status()
    conforms(body, "MediaStatus")
    assert {each["name"]: (each["state"], each["code"], each["reason"]) for each in body["products"]} == {
        "sizes": ("failed", "error", "OSError: full"),
        "more": ("pending", None, None),
        "description": ("skipped", "corrupt", "It is broken."),
        "odd": ("skipped", "corrupt", "It is broken."),
    }
    assert body["state"] == "failed"
    assert any("NOBODY MAKES more" in warning for warning in body["warnings"])


async def test_a_redirect_is_over_before_its_signature(gateway: Running, provisioned: ThreadedStack) -> None:
    """To MinIO, signed; a cache forgets the redirect before it is over; the bytes come with the type that was found."""
    one = await picture(gateway, provisioned, filename="übung.jpg")
    for name, expected in (("original", BODY), ("thumb.webp", b"thumb webp" * 50)):
        answer = await get(one, f"/files/{name}")
        assert answer.status == 307
        lives = int(answer.headers["location"].partition("X-Amz-Expires=")[2].partition("&")[0])
        assert "Authorization" in answer.headers["vary"]
        kept = int(answer.headers["cache-control"].rpartition("max-age=")[2])
        assert 0 < kept < lives == gateway.settings.link_seconds
        status, sent, headers = await fetched(answer.headers["location"], Origin="https://app.example")
        assert (status, sent) == (200, expected)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["access-control-allow-origin"] in {"*", "https://app.example"}
        part = await fetched(answer.headers["location"], Range="bytes=5-9")
        assert (part[0], part[1]) == (206, expected[5:10])
    assert headers["content-type"] == "image/webp"
    original = await get(one, "/files/original", "HEAD")
    assert "%C3%BCbung.jpg" in original.headers["content-disposition"]
    assert original.headers["content-disposition"].startswith("attachment")


PARTS: list[tuple[str | None, int, bytes | None, str | None]] = [
    (None, 200, BODY, None),
    ("bytes=0-9", 206, BODY[:10], "bytes 0-9/10240"),
    ("bytes=10230-", 206, BODY[-10:], "bytes 10230-10239/10240"),
    ("bytes=-5", 206, BODY[-5:], "bytes 10235-10239/10240"),
    ("bytes=0-1,2-9", 206, BODY[:10], "bytes 0-9/10240"),
    ("bytes=0-1,5-9", 200, BODY, None),
    ("bytes=9-1", 200, BODY, None),
    ("lines=1-2", 200, BODY, None),
    ("bytes=10240-", 416, None, "bytes */10240"),
    ("bytes=-0", 416, None, "bytes */10240"),
]


async def test_parts_of_a_file(gateway: Running, provisioned: ThreadedStack) -> None:
    """Sent from here: one range, ranges that are one, the whole file for others, and 416 for what it hasn't."""
    one = await picture(gateway, provisioned)
    for asked, status, sent, told in PARTS:
        headers = {"Range": asked} if asked else {}
        answer = await get(one, "/files/original?redirect=false", **headers)
        assert (answer.status, answer.headers.get("content-range")) == (status, told)
        assert answer.headers["accept-ranges"] == "bytes"
        if sent is not None:
            assert answer.body == sent
            assert answer.headers["content-type"] == "image/jpeg"
            assert answer.headers["content-length"] == str(len(sent))
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_file_is_known_again(gateway: Running, provisioned: ThreadedStack) -> None:
    """One strong ETag, from here and from MinIO; 304 by it; a part only of what it was a part of."""
    one = await picture(gateway, provisioned)
    head = await get(one, "/files/original", "HEAD")
    etag = head.headers["etag"]
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(BODY)))
    assert etag.startswith('"')
    assert "immutable" in head.headers["cache-control"]
    assert "private" in head.headers["cache-control"]
    assert "Authorization" in head.headers["vary"]
    assert "immutable" not in (await get(one, "/files/thumb.webp", "HEAD")).headers["cache-control"]
    redirected = await get(one, "/files/original")
    assert (await fetched(redirected.headers["location"]))[2]["etag"] == etag
    for said in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        for query in ("", "?redirect=false"):
            answer = await get(one, f"/files/original{query}", If_None_Match=said)
            assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert (await get(one, "/files/original?redirect=false", If_None_Match='"other"')).status == 200
    assert (await get(one, "/files/original", If_None_Match='"other"')).status == 307
    for said, status in ((etag, 206), (head.headers["last-modified"], 206), (f"W/{etag}", 200), ('"other"', 200)):
        answer = await get(one, "/files/original?redirect=false", Range="bytes=0-0", If_Range=said)
        assert answer.status == status, said
    modified, long_ago = head.headers["last-modified"], "Mon, 01 Jan 2001 00:00:00 GMT"
    for said, status in (
        ({"If_Modified_Since": modified}, 304),
        ({"If_Modified_Since": long_ago}, 200),
        ({"If_Match": etag}, 200),
        ({"If_Match": '"other"'}, 412),
        ({"If_Unmodified_Since": long_ago}, 412),
    ):
        assert (await get(one, "/files/original?redirect=false", **said)).status == status, said
        where = (await get(one, "/files/original", **said)).headers["location"]
        there = await fetched(where, **{name.replace("_", "-"): value for name, value in said.items()})
        assert there[0] == status, said
    ranged = await get(one, "/files/original", "HEAD", Range="bytes=0-0")
    assert (ranged.status, ranged.headers["content-length"]) == (200, str(len(BODY)))


async def test_what_a_browser_could_run_is_saved_instead(gateway: Running, provisioned: ThreadedStack) -> None:
    """A function may make a page or a script; it is an attachment, in a sandbox, from here and from MinIO."""
    one = await picture(gateway, provisioned)
    await one.made("report", {"report.html": b"<script>alert(1)</script>"})
    (report,) = [each for each in (await one.status())["renditions"] if each["name"] == "report.html"]
    here = await get(one, "/files/report.html?redirect=false")
    for headers in (here.headers, (await fetched(report["url"]))[2]):
        assert headers["content-disposition"].startswith("attachment")
        assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in here.headers["content-security-policy"]
    shown = await get(one, "/files/thumb.webp?redirect=false")
    assert shown.headers["content-disposition"] == "inline"


async def test_a_text_is_nothing_but_a_text(gateway: Running, provisioned: ThreadedStack) -> None:
    """Whatever markup it has, it is an attachment of type text/plain that nobody guesses another of."""
    one = await Delivered.of(gateway, provisioned, "text/plain", b"<html><script>1</script>", filename="a.html")
    here = await get(one, "/files/original?redirect=false")
    (_, sent, there) = await fetched((await get(one, "/files/original")).headers["location"])
    assert sent == here.body
    for headers in (here.headers, there):
        assert headers["content-type"].startswith("text/plain")
        assert headers["content-disposition"].startswith("attachment")
        assert headers["x-content-type-options"] == "nosniff"


WISHES = [
    ("low", "image/avif,image/webp,*/*;q=0.8", "thumb.webp", "low"),
    ("low", "*/*", "thumb.jpg", "low"),
    ("low", "image/webp", "thumb.webp", "low"),
    ("standard", "image/jpeg", "thumb.jpg", "low"),
    ("high", "image/webp;q=0.1, image/jpeg", "full.jpg", "high"),
    ("high", "application/json", "full.jpg", "high"),
    ("original", "image/webp", "original", "original"),
]


async def test_a_quality_is_chosen(gateway: Running, provisioned: ThreadedStack) -> None:
    """The nearest lower one where there is none, in a format that is accepted; headers say which."""
    one = await picture(gateway, provisioned)
    for quality, accept, name, told in WISHES:
        for query in ("", "&redirect=false"):
            answer = await get(one, f"/file?quality={quality}{query}", Accept=accept)
            assert answer.status == (200 if query else 307)
            assert (answer.headers["tidegate-quality"], answer.headers["content-location"]) == (told, f"files/{name}")
            assert "Accept" in answer.headers["vary"]
    assert (await get(one, "/file?quality=best")).status == 422


async def test_no_original_in_place_of_a_quality(gateway: Running, provisioned: ThreadedStack) -> None:
    """Where nothing was made, only who asks for the original gets it; a video's poster is none of its qualities."""
    one = await Delivered.of(gateway, provisioned, "video/mp4", b"film", promised=["stream"])
    await one.made("poster", {"poster.jpg": b"jpeg"}, facts={"poster": {"quality": "high"}})
    assert (await get(one, "/file?quality=low")).status == 404
    assert (await get(one, "/file?quality=original")).status == 307
    await one.made("progressive", {"progressive.mp4": b"small film"}, facts={"progressive": {"quality": "high"}})
    answer = await get(one, "/file?quality=low")
    assert (answer.status, answer.headers["tidegate-quality"]) == (307, "high")


async def test_a_deletion_takes_every_address_at_once(gateway: Running, provisioned: ThreadedStack) -> None:
    """From the moment DELETE is answered: 410 by token and by grant, though the objects still lie there."""
    one = await picture(gateway, provisioned)
    await one.streamed()
    body = await one.status()
    links = [body["file"], body["hls"], body["dash"], *(each["url"] for each in body["renditions"])]
    here = [link for link in links if link.startswith(gateway.url)]
    assert (await gateway.call("DELETE", one.path())).status == 202
    assert await one.keys() != []
    for link in here:
        assert (await fetched(link))[0] == 410, link
    for path in ("/files/original", "/files/thumb.webp", "/file?quality=low", "/hls/master.m3u8", "/dash/manifest.mpd"):
        answer = await get(one, path)
        assert (answer.status, answer.body["type"]) == (410, "urn:tidegate:problem:media_gone")
    body = await one.status()
    assert (body["renditions"], body["products"], body["descriptions"]) == ([], [], {})
    assert (body["hls"], body["file"], body["original"], body["playable"]) == (None, None, None, False)


async def test_a_file_whose_bytes_are_gone_is_not_found(gateway: Running, provisioned: ThreadedStack) -> None:
    """What events list and MinIO has no more is a 404 in words, from here, and no defect."""
    one = await picture(gateway, provisioned)
    await one.removed("thumb.webp")
    for method in ("GET", "HEAD"):
        answer = await get(one, "/files/thumb.webp?redirect=false", method)
        assert answer.status == 404


async def test_pages_of_other_origins_may_read_files(gateway: Running, provisioned: ThreadedStack) -> None:
    """Preflights and answers, errors among them, allow any origin and no credentials."""
    one = await picture(gateway, provisioned)
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    preflight = await gateway.call("OPTIONS", one.path("/hls/master.m3u8"), token="", headers=asks)
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, "*")
    assert "Range" in preflight.headers["access-control-allow-headers"]
    for path in (
        "/files/original?redirect=false",
        "/files/nothing.jpg",
        "/file",
        "/hls/master.m3u8",
        "/dash/manifest.mpd",
        "/vtt/storyboard.vtt",
    ):
        answer = await get(one, path, Origin="https://app.example")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "ETag" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/v1/uploads", "Authorization, Content-Type, Traceparent, Tracestate"),
        ("GET", "/v1/media/01a22bde-3df8-717f-8040-ac28744b4ace/files/original", "If-Modified-Since, If-Range, Range"),
        ("GET", "/v1/media/01a22bde-3df8-717f-8040-ac28744b4ace/file", "If-Match, If-None-Match, If-Unmodified-Since"),
        ("DELETE", "/v1/media/01a22bde-3df8-717f-8040-ac28744b4ace", "Authorization"),
        ("GET", "/v1/media/01a22bde-3df8-717f-8040-ac28744b4ace/events", "Authorization, Last-Event-ID"),
        ("GET", "/v1/media", "Authorization"),
    ],
)
async def test_pages_of_other_origins_may_upload_and_ask(gateway: Running, method: str, path: str, sent: str) -> None:
    """Whatever a page does with a token of its own, the browser lets it, and lets it read what it did wrong."""
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": method}
    preflight = await gateway.call("OPTIONS", path, token="", headers=asks | {"Access-Control-Request-Headers": sent})
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, "*")
    assert method in preflight.headers["access-control-allow-methods"]
    assert set(sent.split(", ")) <= set(preflight.headers["access-control-allow-headers"].split(", "))
    for token in ("", None):
        answer = await gateway.call(method, path, token=token, headers=asks, json={} if method == "POST" else None)
        assert answer.status in {200, 401, 404, 422}
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
async def test_what_needs_no_token_is_for_its_own_pages(gateway: Running, path: str) -> None:
    """A page somewhere else learns nothing of a gateway that only its visitor can reach."""
    answer = await gateway.call("GET", path, token="", headers={"Origin": "https://app.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_origins_can_be_named(provisioned: ThreadedStack) -> None:
    """With a list, an origin on it is told so and no other; caches keep the answers apart."""
    async with running(provisioned, cors_origins=("https://app.example",)) as gateway:
        one = await picture(gateway, provisioned)
        mine, other = [
            await get(one, "/files/original", Origin=origin)
            for origin in ("https://app.example", "https://evil.example")
        ]
    assert mine.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in other.headers
    assert "Origin" in mine.headers["vary"]
    assert "Origin" in other.headers["vary"]
