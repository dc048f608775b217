"""What a child can do, by name."""

from . import image, office, pdf, text
from .confinement import confinement
from .identify import identify

JOBS = {
    "pdf": pdf.probe,
    "text": text.probe,
    "image": image.probe,
    "office": office.probe,
    "identify": identify,
    "confinement": confinement,
}
