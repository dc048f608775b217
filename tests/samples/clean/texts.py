"""Texts as editors, shells and spreadsheets write them."""

from collections.abc import Iterator

from tests.samples.clean.sample import Sample

_PROSE = "Grüße aus dem Hafen, 潮の門 🌊.\n"


def samples() -> Iterator[Sample]:
    """Every encoding that the probe reads, and what a browser declares as something more than plain text."""
    for name, body in {
        "utf-8.txt": _PROSE.encode(),
        "mark.txt": _PROSE.encode("utf-8-sig"),
        "utf-16.txt": _PROSE.encode("utf-16"),
        "utf-16-be.txt": b"\xfe\xff" + _PROSE.encode("utf-16-be"),
        "windows.txt": b"One line.\r\nAnother.\r\n",
        "long.txt": _PROSE.encode() * 3000,
        "notes.md": b"# Title\n\n* one\n* two\n\n```\ncode < more\n```\n",
        "table.csv": b"name,age\r\nAnn,31\r\nBob,29\r\n",
        "data.json": b'{"a": [1, 2, 3], "b": "<b>"}\n',
        "events.ndjson": b'{"level": "info"}\n{"level": "warning"}\n',
        "server.log": b"2026-11-22 20:10:15,123 INFO worker.started pid=1\n" * 20,
        "film.srt": b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n",
        "card.vcf": b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ann\r\nEND:VCARD\r\n",
        "mail.txt": b"From: Alice\nTo: Bob\nSubject: lunch\n\nAt noon?\n",
        "press.txt": b"The free press.\n",  # the letters of a QuickTime box
        "tags.txt": b"ID3 is a tag, RIFF and OggS are containers.\n",
    }.items():
        yield Sample(name, "text/plain", body)
