"""Files that are two things at once."""

from .archives import RECORD_BYTES
from .inspect import inspect, inspect_tail
from .source import Source

__all__ = ["RECORD_BYTES", "Source", "inspect", "inspect_tail"]
