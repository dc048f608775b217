"""Warm, sandboxed, killable child processes: the only place where bytes of strangers are decoded."""

from infra.decoder.errors import DecodeCode, DecodeRejected, DecoderUnavailable, SandboxUnavailable
from infra.decoder.output import Output, Written
from infra.decoder.pool import DecoderPool
from infra.decoder.probes import probe_image, probe_office, probe_pdf, probe_text, require_whole_ogg
from infra.decoder.renders import Picture, draw_peaks, read_first_words, render_cover, render_first_page
from infra.decoder.sizes import RenderedSize, describe_image, render_sizes
from infra.decoder.spool import named, unnamed_file, write_all

__all__ = [
    "DecodeCode",
    "DecodeRejected",
    "DecoderPool",
    "DecoderUnavailable",
    "Output",
    "Picture",
    "RenderedSize",
    "SandboxUnavailable",
    "Written",
    "describe_image",
    "draw_peaks",
    "named",
    "probe_image",
    "probe_office",
    "probe_pdf",
    "probe_text",
    "read_first_words",
    "render_cover",
    "render_first_page",
    "render_sizes",
    "require_whole_ogg",
    "unnamed_file",
    "write_all",
]
