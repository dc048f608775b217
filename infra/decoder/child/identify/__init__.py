from .job import identify

__all__ = ["identify"]
