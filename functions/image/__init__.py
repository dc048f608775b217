"""What is made of images."""

from functions.image import render

__all__ = ["render"]
