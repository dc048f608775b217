"""The model every schema derives from, and the bounded types they share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

Kind = Literal["unknown", "document", "image", "video", "audio"]
Lane = Literal["premium", "standard", "bulk"]
LANES: tuple[Lane, ...] = ("premium", "standard", "bulk")

MediaId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PlanHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""Of how a video is cut and coded: see `schemas.plan`."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
"""One token of a NATS subject."""
VersionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""Of an object, as MinIO names it; a token too, since it tells the versions of one media apart."""
LONGEST_LABEL = 128
Label = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_LABEL)]
ContentType = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e ]+$")]
Sentence = Annotated[str, StringConstraints(max_length=2000)]


class Model(BaseModel):
    """Immutable data. Unknown fields are ignored: within a major version a schema only grows."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_timedelta="float")
