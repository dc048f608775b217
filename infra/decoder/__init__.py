"""Warm, sandboxed, killable child processes: the only place where bytes of strangers are decoded."""

from infra.decoder.errors import DecodeCode, DecodeRejected, DecoderUnavailable, SandboxUnavailable
from infra.decoder.output import Output, Written
from infra.decoder.pool import DecoderPool
from infra.decoder.probes import probe_image, probe_office, probe_pdf, probe_text, require_whole_ogg
from infra.decoder.spool import named, unnamed_file

__all__ = [
    "DecodeCode",
    "DecodeRejected",
    "DecoderPool",
    "DecoderUnavailable",
    "Output",
    "SandboxUnavailable",
    "Written",
    "named",
    "probe_image",
    "probe_office",
    "probe_pdf",
    "probe_text",
    "require_whole_ogg",
    "unnamed_file",
]
