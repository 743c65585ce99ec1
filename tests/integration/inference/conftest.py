"""Adapters for all tests, one real vLLM that `nanodex serve` started, and one in a Pod."""

import hashlib
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nanodex.api.code_expert import BaseModelRef
from nanodex.api.parameters import InferenceConfig
from nanodex.api.stages import StageName
from nanodex.artifacts import open_store, publish
from nanodex.config import default_cache
from nanodex.inference import ServedExpert, ServerInfo, start_detached, stop
from nanodex.models import resolve_base_model
from tests.integration.inference.adapters import Adapters, write_adapters
from tests.integration.inference.pod import Pod, running_pod


@pytest.fixture(scope="session")
def base_model() -> Path:
    ref = BaseModelRef(uri="bundled://smollm2-135m-instruct")
    return resolve_base_model(ref, cache=default_cache()).path


@pytest.fixture(scope="session")
def adapters(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapters:
    return write_adapters(tmp_path_factory.mktemp("adapters"), base_model=base_model)


@pytest.fixture(scope="session")
def make_expert() -> Callable[..., ServedExpert]:
    return expert


def expert(name: str, folder: Path, number: int) -> ServedExpert:
    return ServedExpert(name=f"team/{name}", digest=f"sha256:{number:012x}{0:052x}", folder=folder)


class Spoken:
    """Progress that remembers what it was told."""

    stopping = False

    def __init__(self) -> None:
        self.messages: list[str] = []

    def update(
        self, done: int, total: int, *, unit: str, message: str = "", **figures: float
    ) -> None:
        if message not in self.messages:
            self.messages.append(message)


@dataclass(frozen=True)
class Served:
    """The server under test."""

    info: ServerInfo
    config: InferenceConfig
    progress: Spoken
    state: Path


@pytest.fixture(scope="session")
def served(
    base_model: Path, adapters: Adapters, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    # Two good adapters and two that only their numbers give away: all the slots there are.
    config = InferenceConfig(port=0, max_model_len=512, max_loaded=4, sync_seconds="0.5")
    names = (
        "good", "other", "learned_nothing", "wrong_layers", "wrong_prefix", "rank_too_high",
        "dora", "truncated", "pickled",
    )  # fmt: skip
    experts = [
        expert(name.replace("_", "-"), getattr(adapters, name), number)
        for number, name in enumerate(names, start=1)
    ]
    state = tmp_path_factory.mktemp("serve")
    progress = Spoken()
    # What an earlier server left behind when it was killed.
    (state / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(state / "run" / "engine.sock"))
    started = time.monotonic()
    info = start_detached(
        config, base_model=base_model, experts=experts, state=state, progress=progress
    )
    seconds = time.monotonic() - started
    print(f"\nvLLM and {len(experts)} adapters: {seconds:.0f} s")
    yield Served(info=info, config=config, progress=progress, state=state)
    stop(state)


@pytest.fixture(scope="session")
def pod(base_model: Path) -> Iterator[Pod]:
    # Of the session, so that it is started once for several files of tests.
    with running_pod(base_model) as running:
        yield running


@pytest.fixture(scope="session")
def published(pod: Pod, adapters: Adapters) -> dict[str, ServedExpert]:
    """What training left in the store, by what the adapter is."""
    found = {}
    # The same expert in two versions; an adapter that knows nothing of where it is served.
    named = {
        "good": "good", "later": "good", "other": "other", "third": "third",
        "wrong_prefix": "wrong-prefix", "wrong_layers": "wrong-layers", "truncated": "truncated",
    }  # fmt: skip
    for what, name in named.items():
        folder = pod.root / "artifacts" / what
        folder.mkdir(parents=True)
        source = getattr(adapters, what)
        shutil.copytree(source, folder / "adapter", ignore=shutil.ignore_patterns("README.md"))
        key = hashlib.sha256(what.encode()).hexdigest()
        manifest = publish(
            folder,
            store=open_store(str(pod.root / "store")),
            stage=StageName.TRAIN,
            key=key,
            scope="team",
        ).manifest
        found[what] = ServedExpert(
            name=f"team/{name}", digest=manifest.digest, key=key, commit="c" * 40, rank=8
        )
    return found
