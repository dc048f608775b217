"""Our signatures against the SDK's."""

from datetime import UTC, datetime
from urllib.parse import SplitResult

import pytest
from minio.credentials.credentials import Credentials
from minio.signer import get_credential_string, post_presign_v4, sign_v4_s3

from infra.sigv4 import ALGORITHM, STAMP, UNSIGNED, Signer

KEYS = {"access_key": "AKID", "secret_key": "s/e+c=ret"}
DAYS = [datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)]


@pytest.mark.parametrize("query", ["", "versionId=abc", "versions=&prefix=temp%2F&max-keys=10&a-b=1&a=2"])
@pytest.mark.parametrize("extra", [{}, {"Content-Type": "a/b", "x-amz-meta-Z": "two  spaces ", "X-Amz-Meta-a": "1"}])
def test_requests(query: str, extra: dict[str, str]) -> None:
    """A request's Authorization is the SDK's, over the change of a day too."""
    signer = Signer(**KEYS, region="eu-1")
    for now in [*DAYS, *DAYS]:
        stamp = now.strftime(STAMP)
        headers = {"Host": "h:9000", "x-amz-content-sha256": UNSIGNED, "x-amz-date": stamp, **extra}
        names, signature = signer.request(stamp, "PUT", "/b/k%20k", query, headers, UNSIGNED)
        expected = sign_v4_s3(
            method="PUT",
            url=SplitResult("http", "h:9000", "/b/k%20k", query, ""),
            region="eu-1",
            headers=dict(headers),
            credentials=Credentials(KEYS["access_key"], KEYS["secret_key"]),
            content_sha256=UNSIGNED,
            date=now,
        )["Authorization"]
        assert (
            f"{ALGORITHM} Credential={signer.credential(stamp)}, SignedHeaders={names}, Signature={signature}"
            == expected
        )


def test_texts() -> None:
    """A policy's signature and credential are the SDK's."""
    signer = Signer(**KEYS, region="eu-1")
    for now in DAYS:
        stamp = now.strftime(STAMP)
        assert signer.text(stamp, "policy") == post_presign_v4("policy", KEYS["secret_key"], now, "eu-1")
        assert signer.credential(stamp) == get_credential_string("AKID", now, "eu-1")


def test_missing_credentials() -> None:
    """A process without credentials is told so when it starts, not by its first request."""
    with pytest.raises(ValueError, match="must both be set"):
        Signer(access_key="", secret_key="x", region="r")
