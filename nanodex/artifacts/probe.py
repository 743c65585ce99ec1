"""Asks a store, before anything depends on it, whether of two writers only the first one wins."""

import uuid
from concurrent.futures import ThreadPoolExecutor

from nanodex.artifacts.layout import PROBES
from nanodex.artifacts.s3_errors import without_conditional_writes
from nanodex.artifacts.store import ObjectStore

_WRITERS = 4


def require_conditional_writes(store: ObjectStore) -> None:
    """Write one object several times at once and again; exactly one write may succeed.

    Also proves that the store may be read, written and deleted from. Costs seven small requests.

    Raises:
        UserError: StoreWithoutConditionalWrites, or the store refuses the credentials or bucket.
        TryAgain: the store does not answer.
    """
    name = f"{PROBES}{uuid.uuid4().hex}"
    claims = [f"{name} {number}".encode() for number in range(_WRITERS)]
    with ThreadPoolExecutor(_WRITERS) as pool:
        won = list(pool.map(lambda claim: store.write_if_absent(name, claim), claims))
    try:
        late = store.write_if_absent(name, b"late")
        kept = store.read(name, limit=1024)
    finally:
        store.delete(name)
    # A retried request may have lost to itself, so no winner is possible; two are not.
    if late or sum(won) > 1 or kept not in claims or (any(won) and kept != claims[won.index(True)]):
        raise without_conditional_writes(store.uri)
