"""Files for a demonstration: real ones, harmless ones that scanners take for viruses, and broken ones."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from sys import executable

from fpdf import FPDF
from fpdf.enums import EncryptionMethod

from bench import media

EXECUTABLE_BYTES = 100 * 1024
PARAGRAPH = (
    "Files arrive from strangers. Tidegate lets them in through a gate: whoever uploads talks to the object store "
    "itself, and small functions look at every byte before anybody else does. "
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A file, and how it should end.

    Attributes:
        name: Its file name, which also says what it claims to be.
        make: Makes its bytes.
        state: The state it should reach.
        codes: Codes of which a rejection should have one.
    """

    name: str
    make: Callable[[], bytes]
    state: str
    codes: tuple[str, ...] = ()

    def write(self, folder: Path) -> Path:
        """Make the file."""
        path = folder / self.name
        path.write_bytes(self.make())
        return path


def pdf(pages: int = 3) -> bytes:
    """A document of pages with text."""
    return bytes(_document(pages).output())


def encrypted_pdf() -> bytes:
    """A document that needs a password to open."""
    document = _document(1)
    document.set_encryption(
        owner_password="owner",  # noqa: S106  a sample's
        user_password="a password",  # noqa: S106  a sample's
        encryption_method=EncryptionMethod.AES_256,
    )
    return bytes(document.output())


def truncated_pdf() -> bytes:
    """The first half of a document: an upload that stopped."""
    whole = pdf(20)
    return whole[: len(whole) // 2]


def text() -> bytes:
    """Plain text in UTF-8 with more than ASCII in it."""
    return ("Grüße aus dem Hafen, 潮の門.\n" + PARAGRAPH * 20 + "\n").encode()


def eicar() -> bytes:
    """The EICAR test file (https://www.eicar.org/download-anti-malware-testfile/): harmless, and always found."""
    # In halves, so that no scanner minds this module.
    return rb"X5O!P%@AP[4\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"


def program() -> bytes:
    """The beginning of an executable."""
    with Path(executable).open("rb") as file:
        return file.read(EXECUTABLE_BYTES)


SAMPLES = (
    Sample("report.pdf", pdf, "ready"),
    Sample("letter.docx", media.docx, "ready"),
    Sample("greetings.txt", text, "ready"),
    Sample("photo.jpg", media.photo, "ready"),
    Sample("screenshot.png", media.png, "ready"),
    Sample("from-a-phone.heic", media.heic, "ready"),
    Sample("tone.mp3", media.mp3, "ready"),
    Sample("film.mp4", media.mp4, "ready"),
    Sample("upright.mov", media.mov, "ready"),
    Sample("eicar.txt", eicar, "quarantined"),
    Sample("offer.docx", lambda: media.docx_with("invoice.com", eicar()), "quarantined"),
    Sample("invoice.pdf", program, "rejected", ("type_refused", "type_mismatch")),
    Sample("holiday.jpg", text, "rejected", ("type_mismatch",)),
    Sample("stream.mp4", media.playlist, "rejected", ("type_refused", "type_mismatch")),
    Sample("half.mp4", media.truncated_mp4, "rejected", ("truncated", "corrupt")),
    Sample("half.pdf", truncated_pdf, "rejected", ("truncated", "corrupt")),
    Sample("secret.pdf", encrypted_pdf, "rejected", ("encrypted", "unscannable")),
)


def _document(pages: int) -> FPDF:
    document = FPDF()
    # Bytes that no scanner has seen before: clamd remembers clean files.
    document.set_title(f"Tidegate sample {random.SystemRandom().getrandbits(64):016x}")
    document.set_font("helvetica", size=11)
    for number in range(1, pages + 1):
        document.add_page()
        document.cell(text=f"Page {number} of {pages}", new_x="LMARGIN", new_y="NEXT")
        document.multi_cell(w=0, text=PARAGRAPH * 8)
    return document
