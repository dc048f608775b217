"""Commands that give events to functions again.

A command imports what it needs when it is called: all of it together takes more than a second.
"""
# ruff: noqa: PLC0415  see above

import asyncio
from typing import Annotated

import typer

from cli.options import Data, Json

dead = typer.Typer(help="Dead letters: what functions gave up on.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("replay")(replay)
    app.add_typer(dead, name="dead")


def replay(
    ids: Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="A media; may be repeated.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="FUNCTION", help="The function that gets it again.")] = None,
    name: Annotated[str, typer.Option("--name", help="In every event that follows, as `replayname`.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be given, and give nothing.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make MongoDB's documents anew from records/ and the stream instead.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give the newest event that FUNCTION takes to it again, as a new run; or rebuild the documents."""
    if rebuild == bool(ids or to):
        raise typer.BadParameter("either --id ID --to FUNCTION, or --rebuild")
    if rebuild:
        from cli.rebuild import rebuild as make_anew

        raise typer.Exit(asyncio.run(make_anew(data, dry_run=dry_run, as_json=as_json)))
    if not ids or to is None:
        raise typer.BadParameter("--id and --to belong together")
    from cli.replay import replay as implementation

    raise typer.Exit(asyncio.run(implementation(ids, to, name, data, dry_run=dry_run, as_json=as_json)))


@dead.command("ls")
def dead_ls(
    function: Annotated[str | None, typer.Option("--function", help="Only this function's.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List dead letters, oldest first. Exit 1: there are some."""
    from cli.dead import show_all

    raise typer.Exit(asyncio.run(show_all(function, data, as_json=as_json)))


@dead.command("show")
def dead_show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="A dead letter's id, or its beginning.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show one dead letter: why, where, and the event."""
    from cli.dead import show

    raise typer.Exit(asyncio.run(show(letter, data, as_json=as_json)))


@dead.command("retry")
def dead_retry(
    letters: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids, or their beginnings.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give dead letters' events to their functions again, in their own run. Exit 1: one could not be given."""
    if everything == bool(letters):
        raise typer.BadParameter("either ids, or --all")
    from cli.dead import retry

    raise typer.Exit(asyncio.run(retry(letters or [], data, everything=everything, as_json=as_json)))
