"""PDFs written by hand, for pages that no library makes."""

from collections.abc import Sequence


def page(
    content: bytes,
    *,
    box: Sequence[float] = (0, 0, 595, 842),
    extra: bytes = b"",
    catalog: bytes = b"",
    resources: bytes = b"",
    objects: Sequence[bytes] = (),
) -> bytes:
    """A document of one page.

    Args:
        content: The page's operators, as PDF 32000-1 has them.
        box: MediaBox in points.
        extra: More entries of the page: `/Rotate 90`.
        catalog: More entries of the catalog: `/AcroForm`.
        resources: Entries of the page's resources; the font Helvetica is there as `/F1`.
        objects: More objects, from number 6 on.
    """
    sides = " ".join(f"{side:g}" for side in box).encode()
    font = b"/Font << /F1 5 0 R >>"
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R %b >>" % catalog,
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [%b] /Contents 4 0 R /Resources << %b %b >> %b >>"
        % (sides, font, resources, extra),
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        *objects,
    ]
    return document(bodies)


def document(bodies: Sequence[bytes]) -> bytes:
    """A document of objects, the first of which is its catalog."""
    written, places = b"%PDF-1.7\n", list[int]()
    for number, body in enumerate(bodies, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return written + (
        b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (len(bodies) + 1, table, len(bodies) + 1, len(written))
    )


def corner(color: bytes = b"1 0 0", box: Sequence[float] = (0, 0, 595, 842)) -> bytes:
    """Operators that fill the left half of a page's upper half."""
    left, bottom, right, top = box
    middle = (bottom + top) / 2
    return b"%b rg %g %g %g %g re f" % (color, left, middle, (right - left) / 2, top - middle)


def form(content: bytes, resources: bytes = b"") -> bytes:
    """An object that draws something, for pages and other such objects to use."""
    return (
        b"<< /Type /XObject /Subtype /Form /BBox [0 0 600 900] /Resources << %b >> /Length %d >>\nstream\n%b\nendstream"
        % (resources, len(content), content)
    )
