"""Every setting of every process, in one typed class; nothing else reads the environment."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    DirectoryPath,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from schemas.model import Kind
from schemas.profiles import AudioProfile, DocumentProfile, ImageProfile, Profiles, VideoProfile
from schemas.types import TYPES

MIB = 1024 * 1024
# clamd lowers its MaxFileSize of 2 GiB - 1 by two bytes.
CLAMD_CEILING = 2 * 1024 * MIB - 3


def _types_of(kind: Kind) -> tuple[str, ...]:
    return tuple(name for name, identity in TYPES.items() if identity.kind == kind)


def _separated(value: object) -> object:
    return [each.strip().lower() for each in value.split(",") if each.strip()] if isinstance(value, str) else value


_ORIGIN = re.compile(r"\*|https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
Accepted = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated)]
_ACCEPTED_FIELDS: dict[str, Kind] = {
    "accept_images": "image",
    "accept_video": "video",
    "accept_audio": "audio",
    "accept_documents": "document",
}


class Settings(BaseSettings):
    """What a process is told about the world, from `TIDEGATE_*` variables or files in `TIDEGATE_SECRETS_DIR`.

    A file there is named as the variable would be, in either case: `tidegate_nats_url`. A variable wins over a file.

    A process holds the credentials of one job only: the same variable names carry the functions' credentials in a
    worker, the gateway's in a gateway and the operator's in a shell (`tidegate env --role`).
    """

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", env_nested_delimiter="__", frozen=True, extra="forbid")

    secrets_dir: DirectoryPath | None = Field(
        default=None, description="Directory of files that hold settings, such as /run/secrets; one setting a file."
    )

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
    signatures_max_age_days: Annotated[float, Field(gt=0)] = Field(
        default=3.0,
        description="Age at which ClamAV's daily database is reported as old; files are scanned with it all the same.",
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
    accept_images: Accepted = Field(
        default=_types_of("image"), description="Image types accepted, comma separated; none: images are refused."
    )
    accept_video: Accepted = Field(
        default=_types_of("video"), description="Video types accepted, comma separated; none: videos are refused."
    )
    accept_audio: Accepted = Field(
        default=_types_of("audio"), description="Audio types accepted, comma separated; none: sounds are refused."
    )
    accept_documents: Accepted = Field(
        default=_types_of("document"),
        description="Document types accepted, comma separated; none: documents are refused.",
    )
    images: ImageProfile = Field(default=ImageProfile(), description="What is made of pictures.")
    video: VideoProfile = Field(default=VideoProfile(), description="What is made of videos.")
    audio: AudioProfile = Field(default=AudioProfile(), description="What is made of sounds.")
    documents: DocumentProfile = Field(default=DocumentProfile(), description="What is made of documents.")
    upload_expires_seconds: Annotated[int, Field(ge=1, le=7 * 86400)] = Field(
        default=900, description="How long a presigned upload is valid."
    )
    delivery: Literal["redirect", "proxy"] = Field(
        default="redirect",
        description="How files reach who may have them. `redirect`: from MinIO itself, by signed URLs; `proxy`: "
        "through the gateway, where clients can't reach MinIO.",
    )
    link_seconds: Annotated[int, Field(ge=60, le=86400)] = Field(
        default=900, description="How long a signed URL of one file is valid."
    )
    play_seconds: Annotated[int, Field(ge=60, le=86400)] = Field(
        default=4 * 3600,
        description="How long players' links, and the signed URLs in playlists, are valid beyond a video's own length: "
        "time to pause. A link is for one media, and whoever has it may read that.",
    )
    cors_origins: Accepted = Field(
        default=("*",),
        description="Whose web pages may upload, ask, and read files and playlists, comma separated "
        "(`https://app.example`); `*`: anybody's that have a token or link, since no browser adds one by itself; none: "
        "no other origin's.",
    )
    rate_per_second: Annotated[float, Field(ge=0)] = Field(
        default=100,
        description="Requests an owner may send in a second in the long run, to each gateway process; 0: any number.",
    )
    rate_burst: Annotated[int, Field(ge=1)] = Field(
        default=300, description="Requests an owner may send at once before `rate_per_second` counts."
    )
    quota_uploads: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Uploads an owner may ask for in each window, whichever gateway is asked; 0: any number. Off at "
        "first: what is fair only the operator knows, and it costs one MongoDB operation for each upload.",
    )
    quota_bytes: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Bytes an owner may ask to upload in each window, whether or not they come; 0: any number.",
    )
    quota_window_seconds: Annotated[int, Field(ge=1, le=366 * 86400)] = Field(
        default=86400, description="Length of a quota's window; windows begin at multiples of it since 1970, UTC."
    )
    pending_uploads: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Uploads of an owner that may be asked for and not have come yet; 0: any number. Counted from what "
        "`record` wrote, about a second late: a burst can exceed it.",
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
        default=86400,
        description="Age at which an unfinished media is given back to the function it waits for, and after which what "
        "was removed is looked for once more.",
    )

    cpu_budget: Annotated[float, Field(ge=0.1)] | None = Field(
        default=None,
        description="Cores' worth of work a worker runs at once; none: all cores it may use, or its container's share.",
    )
    lane_weight_premium: Annotated[float, Field(ge=0.001)] = Field(
        default=8, description="Deliveries of lane premium for one of weight 1, while all lanes wait for a function."
    )
    lane_weight_standard: Annotated[float, Field(ge=0.001)] = Field(
        default=4, description="Deliveries of lane standard for one of weight 1, while all lanes wait for a function."
    )
    lane_weight_bulk: Annotated[float, Field(ge=0.001)] = Field(
        default=1, description="Deliveries of lane bulk for one of weight 1, while all lanes wait for a function."
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
    encoder_memory_bytes: int = Field(
        default=4096 * MIB,
        description="Address space of one FFmpeg that encodes, of which it uses a part: an 8K video takes 2 GiB.",
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  its directory is not known before
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then variables, then the files of the directory that a variable names."""
        told = os.environ.get("TIDEGATE_SECRETS_DIR")
        # A directory that isn't there is refused where the field is checked.
        directory = told if told and Path(told).is_dir() else None
        files = SecretsSettingsSource(settings_cls, secrets_dir=directory)
        return init_settings, env_settings, dotenv_settings, files

    @property
    def lane_weights(self) -> dict[str, float]:
        """Each lane's weight."""
        return {
            "premium": self.lane_weight_premium,
            "standard": self.lane_weight_standard,
            "bulk": self.lane_weight_bulk,
        }

    @field_validator(*_ACCEPTED_FIELDS)
    @classmethod
    def _known(cls, accepted: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """What no decoder can check can't be accepted."""
        known = _types_of(_ACCEPTED_FIELDS[str(info.field_name)])
        if unknown := sorted(set(accepted) - set(known)):
            raise ValueError(f"{', '.join(unknown)} can't be checked here; what can is {', '.join(known)}")
        return accepted

    @property
    def profiles(self) -> Profiles:
        """What each kind promises."""
        return {"image": self.images, "video": self.video, "audio": self.audio, "document": self.documents}

    @property
    def accepted(self) -> frozenset[str]:
        """The content types of all kinds that may come in."""
        return frozenset((*self.accept_images, *self.accept_video, *self.accept_audio, *self.accept_documents))

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """As browsers send them: with a path or a slash at the end none would ever be equal."""
        if wrong := [origin for origin in origins if not _ORIGIN.fullmatch(origin)]:
            raise ValueError(f"{', '.join(wrong)}: an origin is `*` or http(s)://host[:port]")
        return origins

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
