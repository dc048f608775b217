"""Commands that put something in and look at what becomes of it.

A command imports what it needs when it is called: all of it together takes more than a second.
"""
# ruff: noqa: PLC0415  see above

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Data, Json


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("upload")(upload)
    app.command("trace")(trace)
    app.command("tail")(tail)
    app.command("functions")(functions)
    app.command("health")(health)


def upload(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", exists=True, dir_okay=False, readable=True, help="Files."),
    ],
    lane: Annotated[str | None, typer.Option("--lane", help="premium, standard or bulk.")] = None,
    audience: Annotated[
        list[str] | None, typer.Option("--audience", help="Who else may see it; may be repeated.")
    ] = None,
    form: Annotated[bool, typer.Option("--form", help="Like an HTML form (POST) instead of PUT.")] = False,
    content_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Declared media type. Default: by the name.")
    ] = None,
    owner: Annotated[str, typer.Option("--owner", help="Whose upload it is, without --token.")] = "operator",
    token: Annotated[
        str | None, typer.Option("--token", help="A bearer token. Default: one is issued with TIDEGATE_JWT_SECRET.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Upload files through the gateway like any client, and follow each to its end. Exit 1: one was not ready."""
    from cli.upload import Wish
    from cli.upload import upload as implementation

    wish = Wish(
        lane=lane, audience=tuple(audience or ()), form=form, content_type=content_type, owner=owner, token=token
    )
    raise typer.Exit(asyncio.run(implementation(files, wish, data, as_json=as_json)))


def trace(
    media_id: Annotated[str, typer.Argument(metavar="MEDIA_ID", help="The id that the gateway gave.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Everything that happened to a media, from the stream and its record, and what it waits for."""
    from cli.trace import trace as implementation

    raise typer.Exit(asyncio.run(implementation(media_id, data, as_json=as_json)))


def tail(
    event: Annotated[list[str] | None, typer.Option("--event", help="Only these events; may be repeated.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only these kinds; may be repeated.")] = None,
    since: Annotated[
        int | None,
        typer.Option("--since", metavar="SEQ", min=1, help="Begin at this sequence; 1: the oldest."),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show events as they happen, until Ctrl-C."""
    from cli.tail import tail as implementation

    with suppress(KeyboardInterrupt):
        asyncio.run(implementation(event or [], kind or [], since, data, as_json=as_json))


def functions(
    check: Annotated[
        bool, typer.Option("--check", help="Report outputs nobody takes and inputs nobody emits; exit 1 if any.")
    ] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="The graph as a Mermaid flowchart.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """The graph: each function's input and outputs, its lag and its workers."""
    from cli.functions import functions as implementation

    raise typer.Exit(asyncio.run(implementation(data, check=check, mermaid=mermaid, as_json=as_json)))


def health(data: Data = None, as_json: Json = False) -> None:
    """What is up, what is down, what waits. Exit 1: something needs a person; 3: a dependency is down."""
    from cli.health import health as implementation

    raise typer.Exit(asyncio.run(implementation(data, as_json=as_json)))
