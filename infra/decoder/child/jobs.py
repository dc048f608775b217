"""What a child can do, by name."""

from . import cover, image, office, page, pdf, text, waveform, whole
from .confinement import confinement
from .describe import describe
from .identify import identify
from .render import render

JOBS = {
    "pdf": pdf.probe,
    "text": text.probe,
    "image": image.probe,
    "office": office.probe,
    "whole_ogg": whole.ogg,
    "identify": identify,
    "render": render,
    "describe": describe,
    "cover": cover.render,
    "waveform": waveform.draw,
    "page": page.render,
    "pdf_excerpt": page.excerpt,
    "text_excerpt": text.excerpt,
    "confinement": confinement,
}
