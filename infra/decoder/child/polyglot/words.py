"""Words that make a browser, a server or a reader take a file for something else.

How often chance makes them in compressed data, where each byte is one of 256: the likeliest of `PAGE_OR_PROGRAM` is
`<svg` in any case with one of eight bytes behind it, once in 2^34 bytes (2^8 for `<`, 2^7 for each letter, 2^5). It is
looked for in what a file says about itself and at its ends, mostly a few KiB and never more than 64 KiB a part: one
part of 2^18. `<?php` and a blank are one in 2^42 bytes, `$_GET[` one in 2^48: these are looked for in whole images.
"""

import re

# In what a clean file has text in, shorter ones count: nothing there is compressed. XMP begins with `<?xpacket`.
IN_TEXT = re.compile(rb"<\?(?:php|=|\s)|<%|<(?:script|iframe|svg|html|!doctype html)\b", re.IGNORECASE)
PAGE_OR_PROGRAM = re.compile(
    rb"<(?:\?php|script|iframe|svg|html|!doctype\s+html)[\s>/]|<%@\s*page\b|<jsp:|%PDF-[12]\.", re.IGNORECASE
)
# Two, each with letters to begin with that the regex engine looks for first: a sixth of the time of one for both.
PROGRAMS = (re.compile(rb"<\?[Pp][Hh][Pp]\s"), re.compile(rb"\$_(?:GET|POST|REQUEST|COOKIE|SERVER)\["))
# Of RAR and 7z, whose readers look for them wherever they stand: one in 2^48 bytes and less.
ARCHIVES = (b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c")


def opens_as_script(beginning: bytes) -> bool:
    """Whether numbers of a header, right behind its letters, read as JavaScript: `GIF89a/*`, `BM=1;//`.

    No clean file's do: `/*`, `//` and `='` would be a picture 8,000 and more pixels wide, or an odd length where
    lengths are even; after `=` and a blank the next two bytes would be text as well.
    """
    return beginning[:2] in _OPENERS or (beginning[:1] == b"=" and all(byte in _JAVASCRIPT for byte in beginning[:4]))


_OPENERS = (b"/*", b"//", b"='", b'="', b"=`", b"=/")
_JAVASCRIPT = frozenset((*range(0x09, 0x0E), *range(0x20, 0x7F)))
