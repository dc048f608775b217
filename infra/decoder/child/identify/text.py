"""Plain text: what has no NUL, what no browser takes for markup, and what nothing runs, whatever else it looks like."""

import codecs
import re

from .libmagic import UNKNOWN

PLAIN = "text/plain"

# https://mimesniff.spec.whatwg.org/#identifying-a-resource-with-an-unknown-mime-type: what a browser may take for
# markup when it is told nothing, or doesn't listen; and SVG, which it runs scripts in.
_MARKUP = re.compile(
    r"[\t\n\x0c\r ]*<(?:(?P<svg>svg)|(?P<xml>\?xml)"
    r"|!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--)",
    re.IGNORECASE,
)
# What is run wherever it stands in a file (PHP, ASP, JSP), or makes everything around it look like a page.
RUN_ANYWHERE = re.compile(r"<\?(?:php|=|\s)|<%|<(?:script|iframe|svg|html|!doctype html)\b", re.IGNORECASE)
# What a shell, or a desktop on a double click, runs for its first line.
_RUN_BY_FIRST_LINE = re.compile(
    r"#!|\s*(?:@echo\b|\[Desktop Entry\]|\[InternetShortcut\]|\[autorun\]|Windows Registry Editor|REGEDIT)",
    re.IGNORECASE,
)
# What a player opens for its first line, and then whatever it names: files of the machine it runs on, hosts it can
# reach. A playlist called .mp4 makes ffprobe do both.
_PLAYED_BY_FIRST_LINE = re.compile(
    r"\s*(?:(?P<m3u>#EXTM3U)|(?P<pls>\[playlist\])|(?P<asx><asx\b|\[Reference\])|(?P<concat>ffconcat\b))", re.IGNORECASE
)
_PLAYLISTS = {
    "m3u": "application/vnd.apple.mpegurl",
    "pls": "audio/x-scpls",
    "asx": "video/x-ms-asf",
    "concat": "application/x-ffconcat",
}
# libmagic's guesses at what prose, lists and data are in, from as little as a dot or an asterisk at a line's
# beginning. Nothing runs these for being opened. Whatever isn't named here (every script) stays what it was found.
_HARMLESS = frozenset(
    (
        "application/json",
        "application/x-ndjson",
        "application/x-subrip",
        "application/x-wine-extension-ini",
        "message/news",
        "message/rfc822",
        "text/calendar",
        "text/csv",
        "text/troff",
        "text/vcard",
        "text/vnd.sosi",
        "text/vtt",
        "text/x-asm",
        "text/x-bcpl",
        "text/x-c",
        "text/x-c++",
        "text/x-diff",
        "text/x-forth",
        "text/x-fortran",
        "text/x-java",
        "text/x-m4",
        "text/x-objective-c",
        "text/x-pascal",
        "text/x-po",
        "text/x-tex",
        "text/x-texinfo",
    )
)
# MHTML: a mail that a browser opens as a page. libmagic knows a mail by other lines, which an MHTML may lack.
_PAGE_IN_A_MAIL = re.compile(
    r"^(?:mime-version|content-type|content-transfer-encoding)[ \t]*:", re.IGNORECASE | re.MULTILINE
)
_MAIL = "message/rfc822"
# Below it libmagic guesses nothing.
_SHORTEST = 4
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def judge(head: bytes, guess: str) -> str:
    """Say what a file is that has no signature of its own: plain text, or what libmagic took it for.

    UTF-16 is text with its mark alone: without one, a file of 16-bit values is as likely, and the probe could not read
    it either.
    """
    if guess == PLAIN or guess in _HARMLESS or (guess == UNKNOWN and len(head) < _SHORTEST):
        return _text(head, guess)
    return guess


def _text(head: bytes, guess: str) -> str:
    text = _decoded(head)
    if "\0" in text or (guess == UNKNOWN and _CONTROL.search(text)):
        return UNKNOWN
    if markup := _MARKUP.match(text):
        return "image/svg+xml" if markup["svg"] else "text/xml" if markup["xml"] else "text/html"
    if playlist := _PLAYED_BY_FIRST_LINE.match(text):
        return _PLAYLISTS[str(playlist.lastgroup)]
    if _RUN_BY_FIRST_LINE.match(text) or RUN_ANYWHERE.search(text):
        return "text/x-script"
    if _PAGE_IN_A_MAIL.match(text) or (guess.startswith("message/") and _PAGE_IN_A_MAIL.search(text)):
        return _MAIL
    return PLAIN


def _decoded(head: bytes) -> str:
    """The head as whoever opens it would read it; what is no UTF-8 either as the one encoding that takes all bytes."""
    if head.startswith(_UTF16):
        return head.decode("utf-16", errors="replace")
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        return decoder.decode(head)  # a character that the head's end cuts is left out
    except UnicodeDecodeError:
        return head.decode("latin-1")
