"""What the adapters raise; the runtime and the functions decide by type, never by message."""


class InfraError(Exception):
    """Anything an adapter raises on purpose.

    ::

        InfraError
        ├── DependencyDown        the world: hold the delivery, try again when the dependency's probe answers
        ├── Gone                  no bytes exist under this reference, nor a copy promoted from it
        ├── PreconditionFailed    somebody else wrote first: read again, merge, write again
        └── StoreRefused          MinIO answered, and said no: wrong credentials, rights or arguments
    """


class DependencyDown(InfraError):
    """A dependency didn't answer, answered half, or said that it can't serve right now.

    Attributes:
        dependency: Whose probe to ask: `minio`, `clamd` or `mongo`.
        reason: What was seen, for logs and operators.
    """

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(f"{dependency} is down: {reason}")
        self.dependency = dependency
        self.reason = reason


class Gone(InfraError):
    """No bytes exist.

    Attributes:
        key: The object's key.
        version_id: The version asked for, or none.
    """

    def __init__(self, key: str, version_id: str | None = None) -> None:
        super().__init__(f"no object {key}" + (f", version {version_id}" if version_id else ""))
        self.key = key
        self.version_id = version_id


class PreconditionFailed(InfraError):
    """The object isn't (or is) there, or has another ETag than the writer had read.

    Also seen when a write took effect but its answer was lost and the request was repeated: read before believing
    that somebody else wrote.

    Attributes:
        key: The object's key.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} changed since it was read; read it again")
        self.key = key


class StoreRefused(InfraError):
    """MinIO refused a request that will not succeed by waiting.

    Attributes:
        status: The HTTP status.
        code: S3's error code, such as `AccessDenied`.
    """

    def __init__(self, status: int, code: str, request: str) -> None:
        super().__init__(f"MinIO refused {request}: {status} {code}")
        self.status = status
        self.code = code
