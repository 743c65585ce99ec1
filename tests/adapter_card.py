"""The card that lies beside an adapter's weights, as training writes it."""

from collections.abc import Sequence
from pathlib import Path

from nanodex.api.records import AdapterCard, ParityPrompt


def write_card(folder: Path, *, system: str, rank: int, parity: Sequence[ParityPrompt]) -> None:
    """Write nanodex.json of an adapter of the embedded model.

    Args:
        folder: of the adapter.
        system: message that it was trained with.
        rank: of its matrices.
        parity: prompts, and what transformers said of them.
    """
    card = AdapterCard(
        repository="parcelry",
        system=system,
        base_model="bundled://smollm2-135m-instruct",
        base_model_revision="",
        rank=rank,
        parity=tuple(parity),
    )
    (folder / "nanodex.json").write_text(card.model_dump_json())
