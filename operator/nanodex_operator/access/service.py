"""The two paths of the component: POST /review for agents, GET /healthz for the kubelet."""

import logging
from collections.abc import Sequence

from aiohttp import web
from pydantic import ValidationError

from nanodex.api.access import AccessQuestion
from nanodex_operator.access.reviews import Creates, review
from nanodex_operator.refusals import ClusterError

_MAX_BODY_BYTES = 2 << 20

_log = logging.getLogger(__name__)


def build_app(cluster: Creates, *, audiences: Sequence[str]) -> web.Application:
    """Return the application.

    Args:
        cluster: the API server.
        audiences: a token must be meant for one of them; none: for the API server itself.
    """

    async def answer(request: web.Request) -> web.Response:
        try:
            question = AccessQuestion.model_validate_json(await request.read())
        except ValidationError:
            # What the error says would hold the token.
            return web.json_response({"error": "not a question"}, status=400)
        try:
            found = await review(question, cluster=cluster, audiences=audiences)
        except ClusterError as error:
            _log.error("the API server cannot be asked: %s", error)
            return web.json_response({"error": "the API server cannot be asked"}, status=503)
        if found is None:
            return web.json_response({"error": "the token is not valid"}, status=401)
        return web.Response(text=found.model_dump_json(), content_type="application/json")

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.router.add_post("/review", answer)
    app.router.add_get("/healthz", healthz)
    return app
