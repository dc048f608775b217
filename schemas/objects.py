"""How an object is named: the one way every event, document and adapter refers to bytes in MinIO."""

from typing import Annotated

from pydantic import Field

from schemas.model import Model, VersionId


class ObjectRef(Model):
    """Exactly one version of one object.

    An ETag doesn't pin an object (two contents can share one MD5); the version id does, and so it is part of every
    reference under the versioned prefix. Elsewhere objects have one version and a name computed from what they hold.
    """

    bucket: Annotated[str, Field(min_length=3, max_length=63)] = Field(description="The bucket's name.")
    key: Annotated[str, Field(min_length=1, max_length=1024)] = Field(description="The object's key, not escaped.")
    version_id: VersionId | None = Field(
        default=None, description="The version, as MinIO named it; none where the prefix isn't versioned."
    )
    size: Annotated[int, Field(ge=0)] = Field(description="Length in bytes.")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="SHA-256 of the bytes in lower-case hexadecimal, once known."
    )
