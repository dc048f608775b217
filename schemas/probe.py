"""What probing found in a file: one model a type, told apart by `type`."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.model import Model
from schemas.probe_av import AudioProbe, VideoProbe

LONGEST_SIDE_POINTS = 14_400 * 75_000
MOST_PIXELS_A_SIDE = 2**31 - 1


class PdfProbe(Model):
    """A PDF document that pdfium could open, whole, without a password."""

    type: Literal["pdf"] = "pdf"
    pages: int = Field(ge=1, le=1_000_000, description="Number of pages.")
    encrypted: bool = Field(description="Encrypted with an empty user password: readable, with restrictions.")
    version: str | None = Field(
        default=None, pattern=r"^[1-9]\.[0-9]$", description="The PDF version that the file claims, such as `1.7`."
    )
    width_points: float = Field(
        gt=0, le=LONGEST_SIDE_POINTS, allow_inf_nan=False, description="Width of the first page in points of 1/72 inch."
    )
    height_points: float = Field(
        gt=0, le=LONGEST_SIDE_POINTS, allow_inf_nan=False, description="Height of the first page in points."
    )


class TextProbe(Model):
    """A plain text that was decoded from its first byte to its last."""

    type: Literal["text"] = "text"
    encoding: Literal["utf-8", "utf-16"] = Field(description="`utf-16` only where a byte order mark says so.")
    lines: int = Field(ge=0, description="Number of lines, an unfinished last one included.")


class OfficeProbe(Model):
    """A zip of XML parts (Office Open XML, OpenDocument, EPUB): every part was unpacked and has its checksum."""

    type: Literal["office"] = "office"
    format: Literal["docx", "xlsx", "pptx", "odt", "ods", "odp", "epub"] = Field(
        description="As the document's own manifest says."
    )
    pages: int | None = Field(
        default=None, ge=0, le=10_000_000, description="Pages of a text, as the program that wrote it counted them."
    )
    sheets: int | None = Field(default=None, ge=0, le=1_000_000, description="Sheets of a spreadsheet.")
    slides: int | None = Field(default=None, ge=0, le=1_000_000, description="Slides of a presentation.")
    chapters: int | None = Field(default=None, ge=0, le=1_000_000, description="Parts in an EPUB's reading order.")
    entries: int = Field(ge=1, le=1_000_000, description="Files in the zip.")
    unpacked_bytes: int = Field(ge=0, le=2**53, description="Their size together, unpacked.")
    embedded_objects: int = Field(
        default=0, ge=0, le=1_000_000, description="Other documents inside, such as a chart's workbook."
    )


class IccProfile(Model):
    """The colour profile that the pixels are meant in."""

    size: int = Field(ge=1, le=2**31, description="Its length in bytes.")
    description: str | None = Field(
        default=None, pattern=r"^[ -~]{1,64}$", description="Its name, such as `Display P3`, if it can be read."
    )


class ImageProbe(Model):
    """An image of which every pixel of every frame was decoded."""

    type: Literal["image"] = "image"
    format: Literal["jpeg", "png", "gif", "webp", "heic", "avif", "tiff", "bmp"] = Field(
        description="What the file is coded in."
    )
    width: int = Field(ge=1, le=MOST_PIXELS_A_SIDE, description="Width in pixels as displayed: orientation applied.")
    height: int = Field(ge=1, le=MOST_PIXELS_A_SIDE, description="Height in pixels as displayed.")
    orientation: int = Field(
        ge=1, le=8, description="EXIF orientation that whoever decodes has to apply; 1: none. From 5 on sides swap."
    )
    mode: str = Field(
        pattern=r"^[A-Za-z0-9;]{1,8}$", description="Pixel layout in Pillow's words: `RGB`, `RGBA`, `L`, `P`, `CMYK`…"
    )
    bit_depth: int | None = Field(default=None, ge=1, le=64, description="Bits a channel, where the file says so.")
    alpha: bool = Field(description="Whether parts may be transparent.")
    frames: int = Field(ge=1, le=1_000_000, description="Pictures in the file: frames, or pages of a TIFF.")
    animated: bool = Field(description="Whether the frames are shown one after another.")
    duration_seconds: float | None = Field(
        default=None, ge=0, le=1e9, allow_inf_nan=False, description="One passage of an animation."
    )
    icc: IccProfile | None = Field(default=None, description="None: no profile, to be taken for sRGB.")


Probe = Annotated[
    PdfProbe | TextProbe | OfficeProbe | ImageProbe | AudioProbe | VideoProbe, Field(discriminator="type")
]
"""What probing a file found."""
