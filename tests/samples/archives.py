"""Files in files: what a scanner has to open before it can look."""

import base64
import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Literal

from docx import Document
from fpdf import FPDF

# Made once with py7zr, pyzipper and Info-ZIP: nothing else here writes encrypted archives. The password is "secret".
ENCRYPTED = {
    "7z": base64.b64decode(
        "N3q8ryccAARFmI7BeQAAAAAAAAAUAAAAAAAAAIHWvcpLuGXpv0EL5kbc605DM5RyAQBkAQQGAAEJEAoBEEDOSAAHCwEAAiQG8QcBElMPhyfU9bhg"
        "x1594QDaUCrtDSEhARgBAAwKBgAICgG96V2IAAAFARENAGEALgB0AHgAdAAAABQKAQAAZ5aWC33dARUGAQAggICBAAAAFwYQAQlpAAcLAQABISEB"
        "GAxlAAA="
    ),
    "7z, names too": base64.b64decode(
        "N3q8ryccAATEH99cgAAAAAAAAAAoAAAAAAAAAEay8GSMUy5h8f9/PcZOee69Dx4WqB3Y8rSfjQwvb8992Ep1tjDWXOvSlh87DzMil1OLFLol++Zj"
        "AeN9bC1Vi34nJ6Z4CYJW6XAkRa7c7zxNud9NjWSKO+YAMRv1z7rlyLctRvsSpsicoPNyrpxUtH7HSXYVO9Q4MO3NcRNvHSVdz98MKhcGEAEJcAAH"
        "CwEAASQG8QcBElMPUREgP8+/kGmBwe7uXw9RtQxlAAA="
    ),
    "zip, AES": base64.b64decode(
        "UEsDBBQAAQBjAEuUeV0AAAAAIgAAAAYAAAAFAAsAYS50eHQBmQcAAgBBRQMAAOuMaGmRUr+2o6c1iq12WGVL2OnHZCzKhQWA3LiDct5VA1VQSwEC"
        "FAMUAAEAYwBLlHldAAAAACIAAAAGAAAABQALAAAAAAAAAAAAgAEAAAAAYS50eHQBmQcAAgBBRQMAAFBLBQYAAAAAAQABAD4AAABQAAAAAAA="
    ),
    "zip": base64.b64decode(
        "UEsDBAoACQAAAEuUeV296V2IEgAAAAYAAAAFAAAAYS50eHSpBlfdfQgnnCPJl1+IOs+0fR5QSwcIveldiBIAAAAGAAAAUEsBAh4DCgAJAAAAS5R5"
        "Xb3pXYgSAAAABgAAAAUAAAAAAAAAAQAAAKSBAAAAAGEudHh0UEsFBgAAAAABAAEAMwAAAEUAAAAAAA=="
    ),
}


def zipped(files: Mapping[str, bytes], *, comment: bytes = b"") -> bytes:
    """A zip of the files, compressed, so that nothing in it is to be seen without opening it."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment
        for name, content in files.items():
            archive.writestr(name, content)
    return output.getvalue()


def nested(depth: int, content: bytes) -> bytes:
    """A file in so many zips, one in another."""
    for level in range(depth):
        content = zipped({f"level-{level}.zip" if level else "file.txt": content})
    return content


def tarred(content: bytes, mode: Literal["w:", "w:gz"] = "w:gz") -> bytes:
    """A tar of one file."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode=mode) as archive:
        member = tarfile.TarInfo("file.txt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return output.getvalue()


def docx(parts: Mapping[str, bytes] | None = None) -> bytes:
    """A Word document, with parts that Word would not miss."""
    document = Document()
    document.add_paragraph("Nothing to see here.")
    output = io.BytesIO()
    document.save(output)
    with zipfile.ZipFile(output, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (parts or {}).items():
            archive.writestr(name, content)
    return output.getvalue()


def epub(page: bytes) -> bytes:
    """A book of one page."""
    return zipped({"mimetype": b"application/epub+zip", "page.xhtml": b"<html><body>" + page + b"</body></html>"})


def pdf_with(attachment: bytes) -> bytes:
    """A PDF with a file attached, compressed."""
    made = FPDF()
    made.add_page()
    made.embed_file(bytes=attachment, basename="attached.txt", compress=True)
    return bytes(made.output())


def containers(content: bytes) -> dict[str, bytes]:
    """The same file in everything that clamd ought to open."""
    return {
        "zip": zipped({"file.txt": content}),
        "zip in zip in zip": nested(3, content),
        "docx": docx({"word/embeddings/file.txt": content}),
        "zip in docx": docx({"word/embeddings/file.zip": zipped({"file.txt": content})}),
        "docx in zip": zipped({"letter.docx": docx({"word/media/image1.png": content})}),
        "tar": tarred(content, "w:"),
        "tar.gz": tarred(content),
        "tar.gz in zip": zipped({"file.tar.gz": tarred(content)}),
        "gz": gzip.compress(content),
        "bz2": bz2.compress(content),
        "xz": lzma.compress(content),
        "attached to a PDF": pdf_with(content),
        "zip attached to a PDF": pdf_with(zipped({"file.txt": content})),
        "behind a PDF": pdf_with(b"harmless") + content,
    }
