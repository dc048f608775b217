"""Every setting of every process, in one typed class; nothing else reads the environment."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
# clamd lowers its MaxFileSize of 2 GiB - 1 by two bytes.
CLAMD_CEILING = 2 * 1024 * MIB - 3


class Settings(BaseSettings):
    """What a process is told about the world, from `TIDEGATE_*` variables or files in `TIDEGATE_SECRETS_DIR`.

    A process holds the credentials of one job only: the same variable names carry the functions' credentials in a
    worker, the gateway's in a gateway and the operator's in a shell (`tidegate env --role`).
    """

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", frozen=True, extra="forbid")

    nats_url: str = Field(
        default="nats://127.0.0.1:4222",
        description="NATS servers, comma separated, with this process's user and password in the URL.",
    )
    minio_url: str = Field(default="http://127.0.0.1:9000", description="MinIO as this process reaches it.")
    minio_public_url: str | None = Field(
        default=None, description="MinIO as clients reach it: the host in presigned URLs. Default: `minio_url`."
    )
    minio_region: str = Field(default="us-east-1", description="The region requests are signed for.")
    minio_access_key: str = Field(default="", description="This process's MinIO access key.")
    minio_secret_key: SecretStr = Field(default=SecretStr(""), description="This process's MinIO secret key.")
    signer_access_key: str = Field(default="", description="Gateway: access key that may only put under temp/.")
    signer_secret_key: SecretStr = Field(default=SecretStr(""), description="Gateway: the signer's secret key.")
    bucket: str = Field(default="tidegate", description="The one bucket.", min_length=3, max_length=63)
    mongo_url: str = Field(default="mongodb://127.0.0.1:27017", description="MongoDB, with credentials.")
    mongo_database: str = Field(default="tidegate", description="The database of the documents.")
    clamd_socket: str = Field(
        default="/run/clamav/clamd.ctl", description="clamd's Unix socket path, or `tcp://host:port`."
    )
    signatures_label: str = Field(
        default="",
        description="Names a set of signatures that is not ClamAV's own; verdicts record it beside clamd's version.",
    )
    gateway_url: str = Field(default="http://127.0.0.1:8080", description="The gateway as its clients reach it.")
    gateway_host: str = Field(default="127.0.0.1", description="Address the gateway listens on.")
    gateway_port: int = Field(default=8080, description="Port the gateway listens on; 0 picks a free one.")
    metrics_port: int | None = Field(default=None, description="Port of a worker's /metrics; none: not served.")
    jwt_secret: SecretStr = Field(
        default=SecretStr(""), description="Secret that signs and verifies bearer tokens (HS256), 32 bytes or more."
    )

    max_upload_bytes: Annotated[int, Field(gt=0, le=CLAMD_CEILING)] = Field(
        default=512 * MIB, description="Largest upload accepted, in bytes; at most 2 GiB - 3, clamd's ceiling."
    )
    upload_expires_seconds: Annotated[int, Field(ge=1, le=7 * 86400)] = Field(
        default=900, description="How long a presigned upload is valid."
    )
    abandoned_after_seconds: float = Field(
        default=3600, description="After its URL expired, how long until an upload that never came is `abandoned`."
    )
    unscannable: Literal["reject", "quarantine"] = Field(
        default="reject", description="What becomes of a file that ClamAV could not look into (limits, encryption)."
    )

    replicas: Literal[1, 3, 5] = Field(default=1, description="Copies of every stream; 3 in a cluster.")
    media_retention_seconds: float = Field(default=7 * 86400, description="How long MEDIA keeps events.")
    duplicate_window_seconds: float = Field(default=600, description="How long a stream remembers message ids.")
    ack_wait_seconds: float = Field(default=15, description="How long NATS waits for a heartbeat before redelivery.")
    attempts: Annotated[int, Field(ge=1)] = Field(default=5, description="Failures before a delivery is dead.")
    suspect_after: Annotated[int, Field(ge=1)] = Field(
        default=3, description="Redeliveries without a failure before a delivery must run alone in its process."
    )
    retry_base_seconds: float = Field(default=1.0, description="First retry's delay; doubles for each attempt.")
    retry_max_seconds: float = Field(default=300.0, description="Longest delay between two attempts.")
    grace_seconds: float = Field(default=20.0, description="How long running handlers may finish after SIGTERM.")
    sweep_seconds: float = Field(default=60.0, description="Time between two sweeps over temp/.")
    sweep_min_age_seconds: float = Field(
        default=30.0, description="Age an object must have before sweep announces it: its notifications go first."
    )
    stuck_after_seconds: float = Field(
        default=86400, description="Age at which an unfinished media is given back to the function it waits for."
    )

    sandbox: Literal["required", "rlimits"] = Field(
        default="required",
        description="`required`: decoders run under bubblewrap or nothing starts; `rlimits`: resource limits and a "
        "system call filter alone, and a child that a file took over can read whatever its user can read.",
    )
    decoder_processes: Annotated[int, Field(ge=1)] = Field(default=2, description="Warm decoder children a process.")
    decoder_memory_bytes: int = Field(
        default=1024 * MIB,
        description="Address space of one decoder child, or of one FFprobe. A picture of 100 megapixels takes 400 MiB.",
    )
    decoder_timeout_seconds: float = Field(default=20.0, description="Time limit of one decoding job.")
    max_pages: Annotated[int, Field(ge=1, le=1_000_000)] = Field(default=5000, description="Most pages of a PDF.")
    max_image_pixels: Annotated[int, Field(ge=1)] = Field(
        default=100_000_000, description="Most pixels of one picture or frame, known before it is decoded."
    )
    max_image_frames: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1000, description="Most frames of an animation, or pages of a TIFF."
    )
    max_image_total_pixels: Annotated[int, Field(ge=1)] = Field(
        default=1_000_000_000, description="Most pixels of all frames together: frames times width times height."
    )
    max_video_pixels: Annotated[int, Field(ge=1)] = Field(
        default=36_000_000, description="Most pixels of one video frame; 8K UHD has 33,177,600."
    )
    max_duration_seconds: Annotated[float, Field(gt=0)] = Field(
        default=12 * 3600.0, description="Longest audio or video."
    )
    max_streams: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=32, description="Most tracks of an audio or video file, subtitles and data included."
    )
    max_archive_entries: Annotated[int, Field(ge=1, le=60_000)] = Field(
        default=10_000, description="Most files inside an office document or EPUB."
    )
    max_archive_bytes: Annotated[int, Field(ge=1)] = Field(
        default=1024 * MIB, description="Most bytes that an office document or EPUB unpacks to."
    )
    max_archive_ratio: Annotated[float, Field(ge=1)] = Field(
        default=100.0,
        description="How many times its size a document may unpack to, once that is more than 32 MiB.",
    )
    work_dir: Path | None = Field(default=None, description="Where unnamed temporary files live.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    log_format: Literal["console", "json"] = Field(default="console", description="How logs are written.")

    @model_validator(mode="after")
    def _requests_outlive_uploads(self) -> Self:
        """`sweep` finds what never came by its `requested`, which must still be there when the patience ends."""
        longest = self.upload_expires_seconds + self.abandoned_after_seconds
        if longest >= self.media_retention_seconds:
            raise ValueError(
                "TIDEGATE_UPLOAD_EXPIRES_SECONDS + TIDEGATE_ABANDONED_AFTER_SECONDS "
                f"({longest:g} s) must be less than TIDEGATE_MEDIA_RETENTION_SECONDS "
                f"({self.media_retention_seconds:g} s): an upload would be forgotten while it may still come"
            )
        return self
