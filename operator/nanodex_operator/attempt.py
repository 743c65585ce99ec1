"""One attempt at a reconcile: bounded in time, counted, and what went wrong is said.

No error ends the operator: it is said once, in the log and where a user can act on it in the
resource's status, and the queue tries again.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine

from nanodex.errors import NanodexError
from nanodex_operator.apply import NotLeading
from nanodex_operator.metrics import OperatorMetrics
from nanodex_operator.refusals import ClusterError, Conflict

# Longer than the patience with the store and with the API server together.
RECONCILE_SECONDS = 120.0

_log = logging.getLogger(__name__)


async def attempt(
    work: Coroutine[None, None, float | None], *, subject: str, metrics: OperatorMetrics
) -> float | None:
    """Return what a reconcile returns: after how many seconds to look again.

    Args:
        work: the reconcile.
        subject: of what, for the log.
        metrics: counts it.

    Raises:
        Exception: it did not work and is to be tried again; why has been said.
    """
    started, result = time.monotonic(), "error"
    try:
        async with asyncio.timeout(RECONCILE_SECONDS):
            again_after = await work
        result = "done"
        return again_after
    except NotLeading:
        result = "done"
        return None
    except Conflict as error:
        # A cache that is a little behind: ordinary.
        result = "conflict"
        _log.debug("%s: %s", subject, error)
        raise
    except (ClusterError, NanodexError) as error:
        _log.warning("%s: %s", subject, error)
        raise
    except TimeoutError:
        _log.warning("%s: took longer than %.0f s", subject, RECONCILE_SECONDS)
        raise
    except Exception:
        _log.exception("%s: a bug of nanodex", subject)
        raise
    finally:
        metrics.reconciled(result, seconds=time.monotonic() - started)
