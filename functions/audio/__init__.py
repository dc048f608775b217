"""What is made of audios."""

__all__: list[str] = []
