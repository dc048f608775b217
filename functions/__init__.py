"""What happens to a file: one module, one function. Importing this package registers them all."""

from functions import discard, finish, identify, probe, promote, receive, record, scan, sweep

__all__ = ["discard", "finish", "identify", "probe", "promote", "receive", "record", "scan", "sweep"]
