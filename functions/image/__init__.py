"""What is made of images."""

from functions.image import describe, render

__all__ = ["describe", "render"]
