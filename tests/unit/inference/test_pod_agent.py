"""The agent of a Pod: from a mounted set and a store to answers, with nobody to help it."""

import asyncio
import hashlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import open_store, publish
from nanodex.errors import TryAgain
from nanodex.inference import pod as pod_module
from nanodex.inference import sources
from nanodex.inference.pod import PodAgent, PodPlan

KEY = "nx-0123456789abcdef"
COMMIT = "c" * 40
Make = Callable[..., Path]


@dataclass
class Pod:
    """One running agent and what is mounted into it."""

    root: Path
    public: str
    private: str
    agent: PodAgent
    task: "asyncio.Task[None]"
    http: httpx.AsyncClient

    def mount(self, generation: int, *experts: ServedExpert) -> None:
        """Exchange the desired set as the kubelet does."""
        desired = DesiredSet(generation=generation, experts=experts)
        _mount(self.root / "desired", "set.json", desired.encode(), version=str(generation))

    async def ask(self, model: str) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
        headers = {"Authorization": f"Bearer {KEY}"}
        return await self.http.post(
            f"{self.public}/v1/chat/completions", json=body, headers=headers
        )

    async def status(self) -> Any:
        return (await self.http.get(f"{self.private}/status")).json()

    async def states(self) -> dict[str, str]:
        return {
            f"{one['name']}@{one['digest'][7:19]}": one["state"]
            for one in (await self.status())["adapters"]
        }


def _mount(folder: Path, name: str, content: bytes, *, version: str) -> None:
    folder.mkdir(exist_ok=True)
    target = folder / f"..{version}"
    target.mkdir()
    (target / name).write_bytes(content)
    (folder / "..tmp").symlink_to(target.name)
    (folder / "..tmp").rename(folder / "..data")
    if not (folder / name).is_symlink():
        (folder / name).symlink_to(f"..data/{name}")


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


@pytest.fixture
def published(make_adapter: Make, tmp_path: Path) -> Callable[..., ServedExpert]:
    def write(name: str, *, seed: int, folder_of: str = "", **fields: Any) -> ServedExpert:
        folder = tmp_path / "artifacts" / f"{name}-{seed}"
        folder.mkdir(parents=True)
        make_adapter(f"{name}-{seed}", seed=seed).rename(folder / "adapter")
        key = hashlib.sha256(f"{name} {seed}".encode()).hexdigest()
        manifest = publish(
            folder,
            store=open_store(str(tmp_path / "store")),
            stage=StageName.TRAIN,
            key=key,
            scope="team",
        ).manifest
        return ServedExpert(
            name=f"team/{name}", digest=manifest.digest, key=key, commit=COMMIT, **fields
        )

    return write


@pytest.fixture
def base_model(tmp_path: Path, write_base: Callable[[Path], None]) -> Path:
    folder = tmp_path / "model" / "current"
    folder.mkdir(parents=True)
    write_base(folder)
    return folder


class Store:
    """A store that a test can take away."""

    def __init__(self, folder: Path) -> None:
        self._store = open_store(str(folder))
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        if self.is_away:
            raise TryAgain("it is away", reason=Reason.STORE_UNAVAILABLE, hint="wait")
        return getattr(self._store, name)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
async def pod(
    stand_in: Any,
    base_model: Path,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Pod]:
    monkeypatch.setattr(pod_module, "_SYNC_SECONDS", 0.05)
    _mount(tmp_path / "keys", "ci", f"{KEY} *".encode(), version="1")
    _mount(tmp_path / "desired", "set.json", DesiredSet().encode(), version="0")
    public, private = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    agent = PodAgent(
        PodPlan(
            desired=tmp_path / "desired" / "set.json",
            keys=tmp_path / "keys",
            engine_socket=tmp_path / "engine.sock",
            base_model=base_model,
            base_model_uri="bundled://smollm2-135m-instruct",
            base_model_revision="abc",
            store=store,  # type: ignore[arg-type]
            adapters=tmp_path / "adapters",
            device="cpu",
            max_rank=32,
            resident=2,
            parity_limit=0.005,
            disk_bytes=1 << 20,
            turns=8,
            public=public,
            private=private,
            drain=tmp_path / "draining",
            settle_seconds=0.2,
            drain_seconds=5.0,
        )
    )
    task = asyncio.create_task(agent.run())
    urls = [f"http://127.0.0.1:{one.getsockname()[1]}" for one in (public, private)]
    async with httpx.AsyncClient(trust_env=False, timeout=25) as http:
        yield Pod(tmp_path, *urls, agent=agent, task=task, http=http)
    agent.stop()
    await asyncio.wait_for(task, 20)
    public.close()
    private.close()


async def test_what_is_mounted_is_fetched_loaded_proved_and_answers(
    pod: Pod, published: Any
) -> None:
    one, two = published("a", seed=1), published("b", seed=2)
    pod.mount(1, one, two)

    answers = await asyncio.gather(
        *(until(lambda m=m: _answers(pod, m)) for m in ("team/a", "team/b"))
    )

    assert len(answers) == 2
    answer = await pod.ask("team/a")
    assert answer.json()["model"] == one.pinned_name
    assert (answer.headers["nanodex-digest"], answer.headers["nanodex-commit"]) == (
        one.digest, COMMIT,
    )  # fmt: skip
    status = await pod.status()
    assert status["generation"] == 1
    assert status["contentHash"] == DesiredSet(experts=(one, two)).content_hash
    assert status["baseModelRevision"] == "abc"
    assert set((await pod.states()).values()) == {"loaded"}
    assert {entry["name"]: entry["active"] for entry in status["adapters"]} == {
        one.name: True,
        two.name: True,
    }


async def _answers(pod: Pod, model: str) -> bool:
    return (await pod.ask(model)).status_code == 200


async def test_an_alias_flips_under_a_steady_stream_without_a_failed_or_mixed_answer(
    pod: Pod, published: Any
) -> None:
    old, new = published("a", seed=1), published("a", seed=2, active=False)
    pod.mount(1, old)
    await until(lambda: _answers(pod, "team/a"))
    stop = asyncio.Event()
    seen: list[tuple[int, str]] = []

    async def stream() -> None:
        while not stop.is_set():
            answer = await pod.ask("team/a")
            seen.append((answer.status_code, answer.json().get("model", "")))

    streams = [asyncio.create_task(stream()) for _ in range(4)]
    pod.mount(2, old, new)
    await until(lambda: _is(pod, new, "loaded"))
    before_flip = len(seen)
    pod.mount(3, old.model_copy(update={"active": False}), new.model_copy(update={"active": True}))
    await until(lambda: _speaks(pod, new))
    pod.mount(4, new.model_copy(update={"active": True}))
    await until(lambda: _gone(pod, old))
    stop.set()
    await asyncio.gather(*streams)

    assert {status for status, _ in seen} == {200}
    assert {model for _, model in seen[:before_flip]} == {old.pinned_name}
    speakers = [model for _, model in seen]
    assert speakers[-1] == new.pinned_name
    assert set(speakers) == {old.pinned_name, new.pinned_name}


async def _is(pod: Pod, expert: ServedExpert, state: str) -> bool:
    return (await pod.states()).get(expert.pinned_name) == state


async def _speaks(pod: Pod, expert: ServedExpert) -> bool:
    return bool((await pod.ask(expert.name)).json()["model"] == expert.pinned_name)


async def _gone(pod: Pod, expert: ServedExpert) -> bool:
    return expert.pinned_name not in await pod.states()


async def test_more_than_fits_is_all_answered(pod: Pod, published: Any, stand_in: Any) -> None:
    experts = [published(name, seed=seed) for seed, name in enumerate("abcde", start=1)]
    pod.mount(1, *experts)
    await until(lambda: _all_proved(pod))

    for expert in (*experts, *experts):
        answer = await pod.ask(expert.name)
        assert (answer.status_code, answer.json()["model"]) == (200, expert.pinned_name)
    assert stand_in[0].most_slots == 2


async def _all_proved(pod: Pod) -> bool:
    states = await pod.states()
    return len(states) == 5 and set(states.values()) <= {"loaded", "standby"}


async def test_an_engine_that_starts_anew_gets_its_adapters_back_and_who_asks_meanwhile_waits(
    pod: Pod, published: Any, stand_in: Any
) -> None:
    pod.mount(1, published("a", seed=1))
    await until(lambda: _answers(pod, "team/a"))
    stand_in[0].healthy = False
    await until(lambda: _engine(pod, "starting"))
    asked = asyncio.create_task(pod.ask("team/a"))
    await asyncio.sleep(0.2)
    assert not asked.done()

    stand_in[0].adapters.clear()
    stand_in[0].slots.clear()
    stand_in[0].healthy = True
    await until(lambda: _health(pod, 200))

    assert (await asked).status_code == 200


async def test_what_an_engine_that_is_away_will_serve_is_known(
    pod: Pod, published: Any, stand_in: Any
) -> None:
    stand_in[0].healthy = False
    await until(lambda: _engine(pod, "starting"))
    pod.mount(1, published("a", seed=1))
    await until(lambda: _at(pod, 1))
    asked = asyncio.create_task(pod.ask("team/a"))
    assert (await pod.ask("team/b")).status_code == 404
    assert not asked.done()

    stand_in[0].healthy = True

    assert (await asked).status_code == 200


async def test_while_the_store_is_away_what_is_on_disk_is_served_and_then_the_rest_comes(
    pod: Pod, published: Any, stand_in: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_FIRST_PAUSE_SECONDS", 0.1)
    here, coming = published("a", seed=1), published("b", seed=2)
    pod.mount(1, here)
    await until(lambda: _answers(pod, "team/a"))
    store.is_away = True

    pod.mount(2, here, coming)
    await until(lambda: _waits_for(pod, coming, "StoreUnavailable"))
    refused = await pod.ask("team/b")
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    # The engine starts anew meanwhile.
    stand_in[0].adapters.clear()
    stand_in[0].slots.clear()
    await until(lambda: _answers(pod, "team/a"))
    assert (await pod.status())["generation"] == 2

    store.is_away = False
    await until(lambda: _answers(pod, "team/b"))


async def _waits_for(pod: Pod, expert: ServedExpert, reason: str) -> bool:
    adapters = (await pod.status())["adapters"]
    return any(one["digest"] == expert.digest and one["reason"] == reason for one in adapters)


async def _at(pod: Pod, generation: int) -> bool:
    return bool((await pod.status())["generation"] == generation)


async def _engine(pod: Pod, state: str) -> bool:
    return bool((await pod.status())["engine"] == state)


async def _health(pod: Pod, status: int) -> bool:
    return (await pod.http.get(f"{pod.public}/health")).status_code == status


async def test_what_is_for_the_operator_is_not_on_the_port_for_clients(pod: Pod) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    for path in ("/status", "/live"):
        assert (await pod.http.get(pod.public + path, headers=headers)).status_code == 404
        assert (await pod.http.get(pod.private + path)).status_code == 200
    for path in ("/v1/models", "/v1/chat/completions", "/health"):
        assert (await pod.http.get(pod.private + path)).status_code == 404


async def test_a_set_that_cannot_be_read_changes_nothing(
    pod: Pod, published: Any, stand_in: Any
) -> None:
    pod.mount(1, published("a", seed=1))
    await until(lambda: _answers(pod, "team/a"))
    _mount(pod.root / "desired", "set.json", b"{", version="broken")
    await asyncio.sleep(0.2)

    assert (await pod.ask("team/a")).status_code == 200
    assert (await pod.status())["generation"] == 1


async def test_keys_are_exchanged_without_a_restart(pod: Pod, published: Any) -> None:
    pod.mount(1, published("a", seed=1))
    await until(lambda: _answers(pod, "team/a"))
    _mount(pod.root / "keys", "ci", b"nx-another-key-altogether *", version="2")

    await until(lambda: _refused(pod))


async def _refused(pod: Pod) -> bool:
    return (await pod.ask("team/a")).status_code == 401


async def test_answers_under_way_end_well_when_the_pod_is_told_to_end(
    pod: Pod, published: Any, stand_in: Any
) -> None:
    pod.mount(1, published("a", seed=1))
    await until(lambda: _answers(pod, "team/a"))
    stand_in[0].hold.clear()
    under_way = asyncio.create_task(pod.ask("team/a"))
    await until(lambda: _in_flight(stand_in))
    drain = pod.root / "draining"
    drain.touch()
    await until(lambda: _health(pod, 503))
    await asyncio.sleep(0.4)

    late = await pod.ask("team/a")
    assert drain.exists() and not under_way.done()
    stand_in[0].hold.set()

    assert (late.status_code, late.headers["retry-after"]) == (503, "5")
    assert (await under_way).status_code == 200
    await until(lambda: _absent(drain))


async def _in_flight(stand_in: Any) -> bool:
    return len(stand_in[0].asked("/v1/chat/completions")) > 1


async def _absent(path: Path) -> bool:
    return path.name not in os.listdir(path.parent)


async def test_the_report_is_json_that_names_no_folder(pod: Pod, published: Any) -> None:
    pod.mount(1, published("a", seed=1))
    await until(lambda: _answers(pod, "team/a"))

    assert str(pod.root) not in json.dumps(await pod.status())
