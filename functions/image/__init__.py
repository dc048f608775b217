"""What is made of images."""

__all__: list[str] = []
