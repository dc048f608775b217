"""`tidegate run`: a process that works on functions until it is told to stop."""

import asyncio
import gc
import signal
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import structlog
from prometheus_client import start_http_server

from cli.application import application, policy, services
from events.nats import NatsBus
from events.registry import Function, load
from events.worker import Worker
from infra.settings import Settings

log = structlog.get_logger()


def chosen(names: Iterable[str], settings: Settings, kinds: Collection[str] = ()) -> list[Function]:
    """The installed functions of these names and for these kinds (all without any), schedules from the settings.

    Raises:
        ValueError: a name is unknown, or there are no functions for these kinds.
        FunctionsUnusable: a distribution's functions can't be imported.
    """
    installed = load()
    wanted = dict.fromkeys([*names, *(each.name for each in installed if set(kinds) & set(each.kinds))])
    if kinds and not wanted:
        raise ValueError(f"no function is for {', '.join(kinds)} alone: name the functions to run")
    return [
        replace(function, every=settings.sweep_seconds) if function.name == "sweep" else function
        for function in installed.select(wanted)
    ]


def relax_garbage_collection() -> None:
    """Look for reference cycles less often, and never again in what is imported: it took 6 % of a worker's CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def work(
    settings: Settings,
    names: Iterable[str],
    kinds: Collection[str] = (),
    *,
    on_ready: Callable[[], None] | None = None,
) -> int:
    """Run functions until SIGTERM or SIGINT, then drain.

    Returns:
        The exit code: 0 after a drain, 3 if NATS closed the connection for good.
    """
    functions = chosen(names, settings, kinds)
    stop, lost = asyncio.Event(), asyncio.Event()

    def closed(reason: str) -> None:
        log.error("nats.closed", reason=reason, remedy="check the NATS user and password in TIDEGATE_NATS_URL")
        lost.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.metrics_port is not None:
        start_http_server(settings.metrics_port, addr="0.0.0.0")  # noqa: S104  scraped from other machines
    title = " ".join(["tidegate run", *names, *(f"--kind {kind}" for kind in kinds)])
    bus = await NatsBus.connect(settings.nats_url, name=title, on_closed=closed)
    try:
        probes = any(function.name == "probe" for function in functions)
        async with services(settings, bus, probes=probes) as shared:
            worker = Worker(bus, application(shared), functions, policy(settings))
            await worker.start()
            relax_garbage_collection()
            log.info("worker.ready", functions=[function.name for function in functions])
            if on_ready is not None:
                on_ready()
            await stop.wait()
            await worker.drain()
    finally:
        await bus.aclose()
    return 3 if lost.is_set() else 0
