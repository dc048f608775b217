"""Make the polyglots that are committed beside this module."""

import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, PngImagePlugin

from bench.pdf import pdf
from tests.samples.clean.images import XMP, encoded, photo
from tests.samples.clean.offices import EPUB, repacked, unzipped, word, zipped

HERE = Path(__file__).parent
PAGE = b"<html><script>alert(1)</script></html>"
PHP = b"<?php echo 1; ?>"
SHORT_PHP = b"<?=`id`?>"
ZIP = zipped({"a.txt": "A sentence."})
JAR = zipped({"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n"})
RAR = b"Rar!\x1a\x07\x01\x00" + bytes(40)
SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(40)
ELF = b"\x7fELF\x02\x01\x01" + bytes(60)
SMALL = (24, 16)
_LETTER = {"[Content_Types].xml", "_rels/.rels", "word/document.xml", "word/_rels/document.xml.rels"}


def polyglots() -> Iterator[tuple[str, bytes]]:
    """Each with its name: what it is, and what else."""
    yield from _gifs()
    yield from _jpegs()
    yield from _pngs()
    yield from _other_pictures()
    yield from _documents()
    yield from _recordings()


def _gifs() -> Iterator[tuple[str, bytes]]:
    gif = _picture("GIF")
    yield "javascript-remark.gif", gif[:6] + b"/*" + gif[8:] + b"*/=1;alert(1)"
    yield "javascript-assignment.gif", gif[:6] + b"='" + gif[8:] + b"';alert(1)"
    yield "javascript-behind.gif", gif + b"=1;alert(1);//" + b" " * 40
    yield "php-remark.gif", encoded(photo(1, SMALL), "GIF", comment=SHORT_PHP)
    yield "jar-behind.gif", gif + JAR
    yield "html-remark.gif", encoded(photo(1, SMALL), "GIF", comment=PAGE)


def _jpegs() -> Iterator[tuple[str, bytes]]:
    jpeg = _picture("JPEG")
    exif = Image.Exif()
    exif[0x010F] = PHP.decode()
    yield "php-remark.jpg", encoded(photo(1, SMALL), "JPEG", comment=SHORT_PHP)
    yield "php-exif.jpg", encoded(photo(1, SMALL), "JPEG", exif=exif.tobytes())
    yield "php-behind.jpg", jpeg + PHP
    yield "php-in-pixels.jpg", _in_pixels(jpeg, b"<?php echo $_GET['a'] ?>")
    yield "html-remark.jpg", encoded(photo(1, SMALL), "JPEG", comment=b"<svg onload=alert(1)>")
    yield "zip-behind.jpg", jpeg + ZIP
    yield "zip-in-remark.jpg", encoded(photo(1, SMALL), "JPEG", comment=ZIP)
    yield "zip-before-end.jpg", jpeg + ZIP[:-2] + b"\x02\x00\xff\xd9"  # the end of a JPEG is the zip's own remark
    yield "rar-behind.jpg", jpeg + RAR
    yield "rar-far-behind.jpg", jpeg + b"Here it comes." + RAR
    yield "program-behind.jpg", jpeg + ELF
    yield "pdf-in-remark.jpg", encoded(photo(1, SMALL), "JPEG", comment=pdf())
    yield "tar-in-remark.jpg", _tar(jpeg)


def _pngs() -> Iterator[tuple[str, bytes]]:
    png = _picture("PNG")
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SHORT_PHP.decode())
    yield "php-text.png", encoded(photo(1, SMALL), "PNG", pnginfo=text)
    yield "php-in-pixels.png", _stored_png(b"<?=$_GET[0]($_POST[1]);?>")
    yield "zip-behind.png", png + ZIP
    yield "html-behind.png", png + PAGE
    yield "7z-behind.png", png + SEVEN_ZIP
    yield "data-behind.png", png + bytes(range(1, 200))
    yield "html-chunk.png", png[:33] + _chunk(b"prVt", PAGE) + png[33:]


def _other_pictures() -> Iterator[tuple[str, bytes]]:
    bmp, webp, tiff = _picture("BMP"), _picture("WEBP"), _picture("TIFF")
    yield "javascript-remark.bmp", bmp[:2] + b"/*" + bmp[4:] + b"*/=1;alert(1)"
    yield "zip-behind.bmp", bmp + ZIP
    yield "javascript-remark.webp", webp[:4] + b"/*" + webp[6:] + b"*/=1;alert(1)"
    yield "php-xmp.webp", encoded(photo(1, SMALL), "WEBP", xmp=XMP % b"" + PHP)
    yield "html-behind.webp", webp + PAGE
    yield "zip-behind.tif", tiff + ZIP
    yield "html-free.avif", _after_ftyp(encoded(photo(1, SMALL), "AVIF", speed=10), PAGE)


def _documents() -> Iterator[tuple[str, bytes]]:
    document, letter = pdf(), zipped({name: part for name, part in unzipped(word(1)).items() if name in _LETTER})
    head, _, rest = document.partition(b"\n")
    yield "zip-behind.pdf", document + ZIP
    yield "zip-in-the-middle.pdf", document.replace(b"xref\n", b"% " + ZIP + b"\nxref\n", 1)
    yield "html-remark.pdf", head + b"\n%" + PAGE + b"\n" + rest
    yield "php-remark.pdf", head + b"\n%" + SHORT_PHP + b"\n" + rest
    yield "html-behind.pdf", document + PAGE
    yield "program-behind.pdf", document + ELF
    yield "jar-inside.docx", repacked(letter, extra={"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\n"})
    yield "odt-as-well.docx", _with_mimetype(letter)
    yield "html-behind.docx", letter + PAGE
    yield "pdf-first.epub", zipped({"mimetype": EPUB, "a.pdf": pdf()}, 0)


def _recordings() -> Iterator[tuple[str, bytes]]:
    made = _recorded()
    movie, tag = (
        made["a.mp4"],
        b"ID3\x03\0\0\0\0\0" + bytes((len(PAGE) + 10,)) + b"TXXX" + struct.pack(">I2x", len(PAGE)),
    )
    yield "html-free.mp4", _after_ftyp(movie, PAGE)
    yield "html-free-first.mov", _box(b"free", PAGE) + made["a.mov"]
    yield "php-free-last.mp4", movie + _box(b"free", PHP)
    yield "zip-behind.mp4", movie + ZIP
    yield "html-behind.mp4", movie + PAGE
    yield "html-void.webm", _void(made["a.webm"])
    yield "zip-behind.webm", made["a.webm"] + ZIP
    yield "html-tag.mp3", tag + PAGE + made["a.mp3"]
    yield "zip-behind.mp3", made["a.mp3"] + ZIP
    yield "php-behind.ogg", made["a.ogg"] + PHP
    yield "javascript-remark.wav", made["a.wav"][:4] + b"/*" + made["a.wav"][6:] + b"*/=1;alert(1)"
    yield "html-chunk.wav", made["a.wav"][:12] + b"JUNK" + struct.pack("<I", len(PAGE)) + PAGE + made["a.wav"][12:]
    yield "program-behind.avi", made["a.avi"] + ELF


def javascript_jpeg() -> bytes:
    """`ÿØÿà/*` is how it begins in Latin-1; the length of the first segment says so, hence it isn't committed.

    https://portswigger.net/research/bypassing-csp-using-polyglot-jpegs
    """
    jpeg = encoded(photo(1, SMALL), "JPEG", comment=b"*/=alert(1)/*")
    length = int.from_bytes(jpeg[4:6])
    return jpeg[:4] + b"/*" + jpeg[6 : 4 + length] + bytes(0x2F2A - length) + jpeg[4 + length :]


def _picture(form: str) -> bytes:
    return encoded(photo(1, SMALL), form)


def _in_pixels(jpeg: bytes, words: bytes) -> bytes:
    return jpeg[:-20] + words + jpeg[-20:]


def _tar(jpeg: bytes) -> bytes:
    """As a tar's first header the picture's first 100 bytes are a file's name."""
    remark = bytearray(600)
    remark[257 - 6 : 257 - 6 + 8] = b"ustar  \0"
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(remark) + 2) + bytes(remark) + jpeg[2:]


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _stored_png(words: bytes) -> bytes:
    """A row of pixels that are words, which no compression hides."""
    row = words.ljust(30, b"\0")
    header = struct.pack(">IIBBBBB", len(row) // 3, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + row, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


def _after_ftyp(movie: bytes, content: bytes) -> bytes:
    end = int.from_bytes(movie[:4])
    return movie[:end] + _box(b"free", content) + movie[end:]


def _void(webm: bytes) -> bytes:
    """An element that players skip, right behind the header: https://www.rfc-editor.org/rfc/rfc8794#name-void-element."""
    at = 5 + (webm[4] & 0x7F) if webm[4] != 1 else 12 + int.from_bytes(webm[5:12])
    return webm[:at] + b"\xec" + bytes((0x80 | len(PAGE),)) + PAGE + webm[at:]


def _with_mimetype(letter: bytes) -> bytes:
    return zipped({"mimetype": b"application/vnd.oasis.opendocument.text", **unzipped(letter)})


def _recorded() -> dict[str, bytes]:
    video = ("-map", "0:v", "-c:v", "mjpeg", "-q:v", "31", "-an")
    outputs = {
        "a.mp4": ("-map", "0:v", "-c:v", "libx264", "-x264-params", "log=-1", "-an"),
        "a.mov": video,
        "a.avi": video,
        "a.webm": ("-map", "0:v", "-c:v", "libvpx", "-an"),
        "a.mp3": ("-map", "1:a", "-b:a", "32k"),
        "a.ogg": ("-map", "1:a", "-c:a", "libopus", "-b:a", "8k"),
        "a.wav": ("-map", "1:a", "-c:a", "pcm_u8", "-ar", "8000"),
    }
    with tempfile.TemporaryDirectory() as folder:
        command = ["ffmpeg", "-nostdin", "-v", "error"]
        command += ["-f", "lavfi", "-i", "color=red:size=32x32:rate=5:duration=0.4"]
        command += ["-f", "lavfi", "-i", "sine=sample_rate=16000:duration=0.3"]
        for name, options in outputs.items():
            command += [*options, name]
        subprocess.run(command, cwd=folder, check=True)
        return {name: Path(folder, name).read_bytes() for name in outputs}


def main() -> None:
    """Write them."""
    for name, body in polyglots():
        assert len(body) < 10_000, (name, len(body))
        (HERE / name).write_bytes(body)


if __name__ == "__main__":
    main()
