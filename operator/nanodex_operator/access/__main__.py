"""The process: NANODEX_AUDIENCES, separated by commas, and NANODEX_PORT.

Login: the file that KUBECONFIG names, else the Pod's ServiceAccount.
"""

import asyncio
import os
import signal
from collections.abc import Mapping

from aiohttp import web

from nanodex_operator.access.service import build_app
from nanodex_operator.cluster import Cluster
from nanodex_operator.logs import log_as_json
from nanodex_operator.metrics import OperatorMetrics

# An agent waits for the answer, and a person for the agent.
_PATIENCE_SECONDS = 5.0


async def run(environment: Mapping[str, str]) -> None:
    """Answer until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    audiences = [
        part.strip() for part in environment.get("NANODEX_AUDIENCES", "").split(",") if part.strip()
    ]
    cluster = await Cluster.connect(
        environment, metrics=OperatorMetrics(), patience_seconds=_PATIENCE_SECONDS
    )
    runner = web.AppRunner(build_app(cluster, audiences=audiences), access_log=None)
    try:
        await runner.setup()
        await web.TCPSite(runner, port=int(environment.get("NANODEX_PORT", "8090"))).start()
        await stopping.wait()
    finally:
        await runner.cleanup()
        await cluster.close()


if __name__ == "__main__":
    log_as_json()
    asyncio.run(run(os.environ))
