"""What is made of videos."""

__all__: list[str] = []
