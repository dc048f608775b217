"""What is made of documents."""

__all__: list[str] = []
