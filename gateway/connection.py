"""HTTP/1.1 as uvicorn speaks it, bounded where it is not: what a client sends beside a body, and how slowly."""

import asyncio
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# A token, a grant and whatever proxies add are 16 KiB. What comes in one read is parsed before it is counted.
LARGEST_HEAD: Final = 64 * 1024
# As long as nginx gives a client for its header.
HEAD_SECONDS: Final = 60.0
_TOO_LARGE: Final = "The request's header is larger than any that is taken: send fewer or shorter fields."


class Connection(HttpToolsProtocol):
    """Ends when an address, a header or trailers don't: uvicorn would keep all of it, whoever sends it.

    Between the parts of a body and behind it clients may send as much as before it, and no more.
    """

    _expiry: asyncio.TimerHandle | None = None
    _began = False
    _whole = False
    _content = 0
    _beside = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request, but not for ever."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse it, and see how much of it was no content."""
        self._began, self._content = False, 0
        super().data_received(data)
        # Where in it a request began nobody says: then it isn't counted.
        self._beside = 0 if self._began or self._whole else self._beside + len(data) - self._content
        if self._beside > LARGEST_HEAD and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._began, self._whole = True, False
        self._wait()

    def on_headers_complete(self) -> None:
        """Its header is there."""
        self._wait_no_longer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of its content is there."""
        self._content += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._whole = True
        super().on_message_complete()

    def _wait(self) -> None:
        self._wait_no_longer()
        self._expiry = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _wait_no_longer(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _refuse(self) -> None:
        """431, where no other answer is on its way."""
        if self._answered():
            body = _TOO_LARGE.encode()
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)
            )
        self.transport.close()

    def _answered(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or cycle.response_complete
