"""What is made of documents."""

from functions.document.read_excerpt import read_excerpt
from functions.document.render_page import render_page

__all__ = ["read_excerpt", "render_page"]
