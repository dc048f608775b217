"""Commands that run things, or say where they run.

A command imports what it needs when it is called: all of it together takes more than a second.
"""
# ruff: noqa: PLC0415  see above

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Data, Json


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("up")(up)
    app.command("run")(run)
    app.command("provision")(provision)
    app.command("secrets")(secrets)
    app.command("env")(env)
    app.command("token")(token)
    app.command(
        "bench",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    )(bench)


def up(
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Where data, logs and secrets live.", file_okay=False)
    ] = Path(".tidegate"),
    signatures: Annotated[
        Path | None,
        typer.Option("--signatures", metavar="DIR", help="Your own ClamAV signatures (.ndb, .hdb, .hsb), added."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run everything on this machine: the four servers, all functions and the gateway, until Ctrl-C."""
    from cli.up import up as implementation

    raise typer.Exit(asyncio.run(implementation(data, signatures=signatures, as_json=as_json)))


def run(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAMES]...", help="Functions. Default: all.")] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="And all functions for image, video, audio or document; may be repeated."),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option("--ready-file", metavar="FILE", help="Made once every function is bound, for supervisors."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say once ready, as JSON on standard output.")] = False,
) -> None:
    """Work on functions until SIGTERM or Ctrl-C, then finish what runs and hand back the rest."""
    from cli.running import run as implementation

    raise typer.Exit(implementation(names or [], kinds or [], ready_file=ready_file, as_json=as_json))


def provision(
    prune: Annotated[bool, typer.Option("--prune", help="Delete consumers that nothing needs any more.")] = False,
    users: Annotated[
        Path | None,
        typer.Option("--users", metavar="FILE", help="Make the users of MinIO and MongoDB first; see `secrets`."),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make streams, consumers and the bucket what they should be, and say what differed. Exit 1: drift remains."""
    from cli.provision import provision as implementation

    raise typer.Exit(asyncio.run(implementation(data, prune=prune, users=users, as_json=as_json)))


def secrets(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if missing, for you alone.", file_okay=False)],
    as_json: Json = False,
) -> None:
    """Generate the passwords of an installation in containers, as the files that compose.yaml mounts."""
    from cli.credentials import secrets as implementation

    implementation(directory, as_json=as_json)


def env(
    role: Annotated[
        str, typer.Option("--role", help="Whose credentials: operator, functions, gateway, subscriber or root.")
    ] = "operator",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print a running stack's addresses and credentials: eval "$(tidegate env)"."""
    from cli.credentials import env as implementation

    implementation(data, role=role, as_json=as_json)


def token(
    owner: Annotated[str, typer.Option("--owner", help="Whose uploads they are.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="upload, read or delete; repeatable. Default: upload, read."),
    ] = None,
    lane: Annotated[
        list[str] | None, typer.Option("--lane", help="premium, standard or bulk; may be repeated. Default: standard.")
    ] = None,
    audience: Annotated[
        list[str] | None, typer.Option("--audience", help="A conversation or group of the owner; may be repeated.")
    ] = None,
    expires: Annotated[float, typer.Option("--expires", metavar="SECONDS", min=1, help="How long it is valid.")] = 3600,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Issue a bearer token for the gateway."""
    from cli.credentials import token as implementation

    implementation(
        data, owner=owner, scopes=scope, lanes=lane, audiences=audience or [], seconds=expires, as_json=as_json
    )


def bench(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="NAME", help="What to measure: documents, record or scan.")],
) -> None:
    """Measure; everything after the name goes to the benchmark (try `tidegate bench documents --help`)."""
    from cli.benchmarks import bench as implementation

    raise typer.Exit(implementation(what, context.args))
