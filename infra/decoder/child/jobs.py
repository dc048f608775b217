"""What a child can do, by name."""

from . import image, pdf, text
from .confinement import confinement
from .identify import identify

JOBS = {"pdf": pdf.probe, "text": text.probe, "image": image.probe, "identify": identify, "confinement": confinement}
