"""What probing found in a file: one model a type, told apart by `type`."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.model import Model

LONGEST_SIDE_POINTS = 14_400 * 75_000


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


DocumentProbe = Annotated[PdfProbe | TextProbe, Field(discriminator="type")]
"""What probing a document found."""
