class Rejected(Exception):
    """A job's verdict on its file. The codes are the parent's `DecodeCode`; it believes no other."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
