"""Load one adapter into the engine and prove that it answers as training saw it answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nanodex.api.agent_report import ParityResult
from nanodex.api.desired import ServedExpert
from nanodex.api.records import AdapterCard
from nanodex.inference.directory import Route
from nanodex.inference.engine_client import EngineClient
from nanodex.inference.parity import decide, measure
from nanodex.inference.residency import Residency


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an adapter is measured against."""

    linear: Mapping[str, tuple[int, int]]
    max_rank: int
    # Mean |difference| of log-probabilities, nats.
    parity: float
    # Adapters that may be in the engine at once.
    resident: int


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A version that this agent has seen answer rightly."""

    expert: ServedExpert
    card: AdapterCard
    parity: ParityResult

    @property
    def route(self) -> Route:
        """How it is asked."""
        return Route(
            public_name=self.expert.pinned_name,
            engine_name=self.expert.engine_name,
            system=self.card.system,
            digest=self.expert.digest,
            commit=self.expert.commit,
        )


class Rejected(Exception):
    """The engine does not take it, or does not answer as training did."""

    def __init__(self, message: str, *, parity: ParityResult | None = None) -> None:
        super().__init__(message)
        self.parity = parity


async def load_and_prove(
    expert: ServedExpert,
    *,
    card: AdapterCard,
    folder: Path,
    engine: EngineClient,
    residency: Residency,
    limit: float,
) -> Proof:
    """Load a version that was placed and checked, for which there is room.

    Status codes of vLLM differ by version: what counts is its list of models, and its numbers.

    Args:
        expert: which version.
        card: what training says of it.
        folder: where its files are.
        engine: where to.
        residency: told what was loaded.
        limit: highest mean |difference| of log-probabilities, nats.

    Raises:
        Rejected: it is not in the engine and must not be asked for.
        EngineUnreachable: the engine is down, or refused the prompts.
    """
    name = expert.engine_name
    present = await engine.models()
    if present.get(name, str(folder)) != str(folder):
        await residency.unload(name)
    code, said = await engine.load(name, folder)
    await residency.loaded(name)
    present = await engine.models()
    if present.get(name) != str(folder):
        raise Rejected(f"the engine did not load it (status {code}): {said}")
    measured = await measure(engine, name, card.parity)
    parity = decide(card.parity, measured, limit=limit)
    if not parity.accepted:
        await residency.unload(name)
        raise Rejected(parity.message, parity=parity)
    return Proof(expert=expert, card=card, parity=parity)
