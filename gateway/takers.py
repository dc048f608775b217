"""The functions that are installed beside the gateway: whom a media may wait for."""

import structlog

from events.registry import FunctionsUnusable, load
from schemas.waiting import Taker
from schemas.waiting import takers as among

Takers = tuple[Taker, ...]

log = structlog.get_logger()


def installed() -> Takers:
    """Those of the registry. Loading costs 40 ms and no decoder.

    Where somebody's functions can't be loaded, whom a media waits for isn't told; everything else is.
    """
    try:
        return among(load())
    except FunctionsUnusable as error:
        log.warning("gateway.functions_unusable", error=str(error))
        return ()
