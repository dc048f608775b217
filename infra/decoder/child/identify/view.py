"""A file of which a few pieces are known: what else is needed is asked for, and the question is asked again."""

MOST_PIECES = 12
MOST_BYTES = 56 * 1024  # a decoder's packet has 64 KiB, its arguments included
LEAST_BYTES = 4096  # a ranged get costs the same for less


class Need(Exception):
    """Bytes that aren't there: whoever can read the file adds them and starts anew."""

    def __init__(self, offset: int, length: int) -> None:
        super().__init__(offset, length)
        self.offset = offset
        self.length = length


class TooScattered(Exception):
    """A file that tells what it is in more places than anybody looks at."""


class View:
    """A file by its size and the pieces of it that were read, the first of them its head.

    `max_bytes` and `max_ratio`: how much it may say that it unpacks to, at most, and for its size.
    """

    def __init__(self, size: int, pieces: list[tuple[int, bytes]], *, max_bytes: int, max_ratio: float) -> None:
        self.size = size
        self.pieces = pieces
        self.max_bytes = max_bytes
        self.max_ratio = max_ratio

    @property
    def head(self) -> bytes:
        """The first piece."""
        return self.pieces[0][1]

    @property
    def whole(self) -> bool:
        """Whether the head is all there is."""
        return len(self.head) >= self.size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from `offset` on, fewer where the file ends before.

        Raises:
            Need: They aren't known yet.
            TooScattered: No more will be read of this file.
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        for start, piece in self.pieces:
            if start <= offset and end <= start + len(piece):
                return piece[offset - start : end - start]
        wanted = min(max(length, LEAST_BYTES), self.size - offset)
        if len(self.pieces) >= MOST_PIECES or sum(len(piece) for _, piece in self.pieces) + wanted > MOST_BYTES:
            raise TooScattered
        raise Need(offset, wanted)

    def add(self, offset: int, piece: bytes) -> None:
        """Know more."""
        self.pieces.append((offset, piece))
