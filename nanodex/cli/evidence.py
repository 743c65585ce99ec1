"""`--evidence`: the graph behind the version that answered, and how its facts are shown."""

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from nanodex.api.manifest import Manifest
from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import ObjectStore, list_manifests, open_store
from nanodex.cli.output import console
from nanodex.errors import UserError
from nanodex.graph.evidence import Evidence, Meaning
from nanodex.pipeline import Workspace

_GRAPH = "graph.sqlite"


def graph_of(digest: str, *, scope: str, store: str, cache: Path) -> Path:
    """Return the graph from which the adapter with this digest was trained, fetched and verified.

    Args:
        digest: of the train stage's artifact, as the server's answer says it.
        scope: namespace that owns the artifacts.
        store: where they are.
        cache: folder for what is fetched.

    Raises:
        UserError: the store does not have them.
        TryAgain: the store is away, or holds something damaged.
    """
    opened = open_store(store)
    wanted = digest
    for stage, before in (
        (StageName.TRAIN, StageName.DATASET),
        (StageName.DATASET, StageName.BRAIN),
    ):
        wanted = _found(opened, stage, wanted, scope=scope).upstream.get(before.value, "")
    brain = _found(opened, StageName.BRAIN, wanted, scope=scope)
    return Workspace(cache).artifact(brain, store=opened) / _GRAPH


def print_evidence(found: Sequence[Evidence]) -> None:
    """Print what the graph knows of each name of an answer."""
    if not found:
        console.print("[dim]the answer names no symbol and no file[/]")
    for one in found:
        if not one.known:
            near = f"; nearest: {', '.join(one.nearest)}" if one.nearest else ""
            console.print(f"[bold red]✗[/] {escape(one.name)}: the graph does not know it{near}")
        elif one.path:
            console.print(f"[green]✓[/] {escape(one.path)}: a file{_others(one)}")
        for meaning in one.meanings:
            _print_meaning(meaning)
        if one.meanings and one.others:
            console.print(f"  [dim]and {one.others} more of this name[/]")


def _others(one: Evidence) -> str:
    return f", and {one.others} more of this name" if one.others else ""


def _print_meaning(meaning: Meaning) -> None:
    place = f"{meaning.path}:{meaning.line}" if meaning.path else "outside the repository"
    console.print(f"[green]✓[/] {escape(meaning.qualified_name)}: {meaning.kind}, {escape(place)}")
    for one in meaning.relations:
        arrow = "→" if one.direction == "out" else "←"
        where = f"{one.path}:{one.line}" if one.path else ""
        console.print(f"    {one.relationship} {arrow} {escape(one.symbol)}  {escape(where)}")


def _found(store: ObjectStore, stage: StageName, digest: str, *, scope: str) -> Manifest:
    for manifest, _ in list_manifests(store, scope=scope, stage=stage):
        if digest and manifest.digest == digest:
            return manifest
    raise UserError(
        f"{store.uri} has no {stage} artifact {digest or 'that led to this answer'} of {scope}",
        reason=Reason.INVALID_INPUT,
        hint="name the store that the expert was trained with, or a graph: --graph graph.sqlite",
    )
