"""What the store holds of a run: asked outside the loop's thread, answered from memory if possible.

A manifest never changes, so one that was found is not asked for again. That there is none is true
only now, and never kept.
"""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from pydantic import ValidationError

from nanodex.api.manifest import Manifest
from nanodex.api.progress import ProgressReport
from nanodex.api.stages import StageName
from nanodex.artifacts import ObjectMissing, ObjectStore, find, layout, remove
from nanodex.errors import NanodexError
from nanodex_operator.metrics import OperatorMetrics

# Requests at once; a store that hangs must not take the threads that everything else needs.
_THREADS = 8
_KEPT_BYTES = 32 << 20
_PROGRESS_BYTES = 64 << 10

Run = tuple[StageName, str]
_Result = TypeVar("_Result")


class ArtifactLookup:
    """Questions to one store.

    Args:
        store: where artifacts are.
        metrics: counts questions.
        kept_bytes: how much of the answers is kept.
    """

    def __init__(
        self, store: ObjectStore, *, metrics: OperatorMetrics, kept_bytes: int = _KEPT_BYTES
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")
        # As compressed JSON: read only when a reconcile asks, and small until then.
        self._kept: OrderedDict[tuple[str, StageName, str], bytes] = OrderedDict()
        self._room = kept_bytes

    def close(self) -> None:
        """Begin no more requests."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def find(self, scope: str, stage: StageName, key: str) -> Manifest | None:
        """Return the manifest of a run, None where none is committed.

        Raises:
            NanodexError: the store is away, or what it holds is no manifest of this run.
        """
        place = (scope, stage, key)
        kept = self._kept.get(place)
        if kept is not None:
            self._kept.move_to_end(place)
            return Manifest.model_validate_json(zlib.decompress(kept))
        found = await self._ask(partial(find, self._store, scope=scope, stage=stage, key=key))
        if found is not None:
            self._keep(place, found)
        return found

    def forget(self, scope: str, stage: StageName, key: str) -> None:
        """Let the store be asked again about a run: somebody may have removed its artifact."""
        data = self._kept.pop((scope, stage, key), None)
        if data is not None:
            self._room += len(data)

    async def progress(self, scope: str, key: str) -> ProgressReport | None:
        """Return how far a training run is; None where that cannot be known now."""
        name = layout.progress_name(scope=scope, key=key)

        def read() -> ProgressReport | None:
            try:
                return ProgressReport.model_validate_json(
                    self._store.read(name, limit=_PROGRESS_BYTES)
                )
            except (ObjectMissing, ValidationError):
                return None

        try:
            return await self._ask(read)
        except NanodexError:
            # It is for people to look at: no reason to hold anything up.
            return None

    async def remove(self, scope: str, runs: Iterable[Run]) -> int:
        """Take back the commits of some runs, and return how many there were.

        Raises:
            NanodexError: the store is away.
        """
        removed = 0
        for stage, key in runs:
            self.forget(scope, stage, key)
            removed += await self._ask(partial(self._remove, scope, stage, key))
        return removed

    def _remove(self, scope: str, stage: StageName, key: str) -> bool:
        manifest = find(self._store, scope=scope, stage=stage, key=key)
        if manifest is not None:
            remove(self._store, manifest)
        return manifest is not None

    async def _ask(self, question: Callable[[], _Result]) -> _Result:
        try:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, question)
        except NanodexError:
            self._metrics.asked_store("error")
            raise
        self._metrics.asked_store("found" if answer else "missing")
        return answer

    def _keep(self, place: tuple[str, StageName, str], manifest: Manifest) -> None:
        data = zlib.compress(manifest.model_dump_json().encode())
        # Two that asked at the same time both come here.
        self.forget(*place)
        self._kept[place] = data
        self._room -= len(data)
        while self._room < 0:
            _, oldest = self._kept.popitem(last=False)
            self._room += len(oldest)
