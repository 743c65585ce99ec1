"""The parity limit of a base model: measured, not guessed.

How far the right adapter's answers lie from those of training follows from the base model and the
engine's number format. The limit belongs between that distance and the one of the slightest damage:
an alpha that is one sixteenth too small moves answers less than a dropped layer does, and less than
other training.
"""

import asyncio
import hashlib
import json
import math
import shutil
import tempfile
from pathlib import Path

from pydantic import Field

from nanodex.api.agent_report import ParityResult
from nanodex.api.base import Contract
from nanodex.api.desired import BASE_MODEL_NAME, ServedExpert
from nanodex.api.engine_arguments import ServedDtype, served_dtype
from nanodex.api.parameters import InferenceConfig
from nanodex.api.progress import Progress
from nanodex.api.reasons import Reason
from nanodex.api.records import AdapterCard
from nanodex.errors import UserError
from nanodex.inference.adapter_files import CARD, CONFIG, SERVED_FILES
from nanodex.inference.engine_client import EngineClient
from nanodex.inference.engine_command import installed_device
from nanodex.inference.parity import CLEAR_DISTANCE, distance, measure
from nanodex.inference.server import running_server
from nanodex.inference.state import ServerInfo, StateFolder, read_model

# Damage that is not this many times as far away as the right adapter cannot be told from it.
_APART = 1.5
_DAMAGED_NAME = "calibration/damaged"


class Calibration(Contract):
    """Mean |differences| from the log-probabilities of training, in nats, and what follows."""

    dtype: ServedDtype = Field(description="What the engine computed in.")
    right: float = Field(description="Of the adapter that training wrote.")
    damaged: float = Field(description="Of the same adapter with an alpha one sixteenth smaller.")
    base: float = Field(description="Of the base model.")
    base_itself: float = Field(description="The base model's, from its own of training.")
    parity_limit: str = Field(description="engine.parityLimit of the ModelServer.")
    clear_distance: float = Field(
        description="How far from the base model an adapter has to be; follows from the limit."
    )


def calibrate(
    config: InferenceConfig,
    *,
    base_model: Path,
    expert: ServedExpert,
    state: Path,
    progress: Progress | None = None,
) -> Calibration:
    """Start an engine, measure `expert` and a damaged copy of it, and stop the engine.

    Args:
        config: engine and agent; `dtype` is what the limit is for.
        base_model: folder of the base model.
        expert: a trained adapter of this base model.
        state: folder of the server that runs meanwhile.
        progress: told what vLLM does while it starts.

    Raises:
        UserError: this adapter cannot tell right from damaged, or the server cannot run here.
        TryAgain: the engine did not start.
    """
    with tempfile.TemporaryDirectory(prefix="nanodex-calibrate-") as scratch:
        damaged = with_damage(expert, folder=Path(scratch) / "damaged")
        with running_server(
            config,
            base_model=base_model,
            experts=[expert, damaged],
            state=state,
            progress=progress,
        ) as info:
            dtype = served_dtype(config.dtype, installed_device())
            return measured(info, expert=expert, damaged=damaged, dtype=dtype)


def with_damage(expert: ServedExpert, *, folder: Path) -> ServedExpert:
    """Write a damaged copy of `expert` to `folder`, and return it as an expert of its own.

    Raises:
        UserError: its alpha is too small to be made a little smaller.
    """
    if expert.folder is None:
        raise _unfit(f"{expert.pinned_name} has no folder on this machine")
    folder.mkdir(parents=True)
    for name in SERVED_FILES:
        shutil.copyfile(expert.folder / name, folder / name)
    config = json.loads((folder / CONFIG).read_bytes())
    alpha = config.get("lora_alpha")
    if type(alpha) is not int or alpha < 2:
        raise _unfit(f"its alpha is {alpha!r:.40}, which cannot be made a little smaller")
    config["lora_alpha"] = alpha - max(1, alpha // 16)
    text = json.dumps(config)
    (folder / CONFIG).write_text(text)
    digest = hashlib.sha256(f"{expert.digest} {text}".encode()).hexdigest()
    return ServedExpert(name=_DAMAGED_NAME, digest=f"sha256:{digest}", folder=folder)


def measured(
    info: ServerInfo, *, expert: ServedExpert, damaged: ServedExpert, dtype: ServedDtype
) -> Calibration:
    """Take the distances from a running server that was given both adapters.

    Raises:
        UserError: one was refused before it was measured, or the distances do not lie apart.
    """
    card = read_model(expert.folder / CARD, AdapterCard) if expert.folder is not None else None
    if card is None:
        raise _unfit(f"the {CARD} of {expert.pinned_name} cannot be read")
    rows = asyncio.run(_ask_base(StateFolder(info.state).socket, card))
    return calibration(
        right=_parity(info, expert).difference,
        damaged=_parity(info, damaged).difference,
        base=distance([prompt.logprobs for prompt in card.parity], rows),
        base_itself=distance([prompt.base_logprobs for prompt in card.parity], rows),
        dtype=dtype,
    )


def calibration(
    *, right: float, damaged: float, base: float, base_itself: float, dtype: ServedDtype
) -> Calibration:
    """Put the limit in the middle, on a scale of factors, between the right and the damaged.

    Raises:
        UserError: nothing lies between them, or the base model is not clearly beyond.
    """
    # A float32 engine can be exact to the last digit that training stored.
    limit = math.sqrt(max(right, 1e-6) * max(damaged, 1e-6))
    text = f"{limit:.2g}" if limit >= 1e-4 else "0.0001"
    if not (damaged >= _APART * right and right < float(text) < damaged):
        raise _unfit(
            f"the right adapter differs by {right:.4f} and a damaged one by {damaged:.4f}: no "
            "limit lies between them"
        )
    if not base >= CLEAR_DISTANCE * float(text):
        raise _unfit(f"the base model itself differs by {base:.4f} only: it learned too little")
    if float(text) >= 1:
        raise _unfit(f"the right adapter differs by {right:.4f}: the engine is not to be trusted")
    return Calibration(
        dtype=dtype,
        right=round(right, 6),
        damaged=round(damaged, 6),
        base=round(base, 6),
        base_itself=round(base_itself, 6),
        parity_limit=text,
        clear_distance=round(CLEAR_DISTANCE * float(text), 6),
    )


async def _ask_base(socket: Path, card: AdapterCard) -> list[tuple[float, ...]]:
    engine = EngineClient(socket)
    try:
        return await measure(engine, BASE_MODEL_NAME, card.parity)
    finally:
        await engine.aclose()


def _parity(info: ServerInfo, expert: ServedExpert) -> ParityResult:
    for report in info.adapters:
        if report.digest == expert.digest and report.name == expert.name:
            if report.parity is None:
                raise _unfit(f"{expert.pinned_name} was not measured: {report.message}")
            return report.parity
    raise _unfit(f"{expert.pinned_name} is not served")


def _unfit(why: str) -> UserError:
    return UserError(
        f"the limit cannot be measured with this adapter: {why}",
        reason=Reason.INVALID_INPUT,
        hint="take an adapter that was trained to the end, on this base model and revision",
    )
