"""Applications that answer on their own paths and nowhere else, with errors in OpenAI's form."""

import json

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from nanodex.inference.refusals import Refusal


class _ExactPaths:
    """Refuses every request whose path is not, byte for byte, one of the allowed.

    Routers decode and tidy paths; comparing what was sent leaves nothing to disagree about. Of a
    request in absolute form the server has taken scheme and host away (RFC 9112, 3.2.2).
    """

    def __init__(self, app: ASGIApp, allowed: frozenset[bytes]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("raw_path") not in self._allowed:
            path = json.dumps(str(scope.get("path", ""))[:120])
            response = Refusal(404, f"there is no {path} here", code="not_found").response()
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


def exact_app(routes: list[Route]) -> ASGIApp:
    """An application of these routes and nothing else, whose errors are OpenAI's."""

    async def refused(_: Request, error: Exception) -> Response:
        if isinstance(error, Refusal):
            return error.response()
        # Registered for HTTPException otherwise; Starlette's own signature is wider.
        status = getattr(error, "status_code", 500)
        return Refusal(status, getattr(error, "detail", "internal error")).response()

    app = Starlette(routes=routes, exception_handlers={HTTPException: refused, Refusal: refused})
    app.router.redirect_slashes = False
    return _ExactPaths(app, frozenset(route.path.encode() for route in routes))
