"""What a child can do, by name."""

from . import image, office, pdf, text, whole
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
    "confinement": confinement,
}
