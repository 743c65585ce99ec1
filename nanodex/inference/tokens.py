"""Kubernetes' own tokens as keys: who is behind one, and what they may ask, says the cluster.

The agent has no right to ask the API server; it asks the component that has. Answers are kept for a
few seconds, so that a stream of requests is not a stream of reviews, and a right that is taken away
is gone soon after.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import httpx
from pydantic import ValidationError

from nanodex.api.access import MAX_TOKEN_LENGTH, AccessAnswer, AccessQuestion
from nanodex.inference.access import Client

log = logging.getLogger(__name__)

_KEPT_SECONDS = 10.0
_MOST_KEPT = 4096
_AT_ONCE = 16
_MOST_WAITING = 256
_TIMEOUT = httpx.Timeout(10.0, connect=2.0)
# Tokens of ServiceAccounts and of OIDC have this form. An API key with a typing error has not, and
# is shown to nobody.
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class ReviewsUnavailable(Exception):
    """Nobody can say now whose a token is."""


class TokenAccess:
    """Who is behind a token of Kubernetes.

    Args:
        url: address of the component that reviews tokens.
        clock: monotonic seconds.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = f"{url.rstrip('/')}/review"
        # Its name is one of the cluster: no proxy is asked for it.
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Client | None]] = OrderedDict()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def client_of(self, authorization: str, *, models: Sequence[str]) -> Client | None:
        """The client behind an Authorization header; None: nobody.

        Args:
            authorization: the header; empty where there is none.
            models: about which the client's patterns shall decide; none: only who it is.

        Raises:
            ReviewsUnavailable: nobody can say.
        """
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or len(token) > MAX_TOKEN_LENGTH:
            return None
        if _TOKEN.fullmatch(token) is None:
            return None
        question = hashlib.sha256("\n".join((token, *models)).encode()).digest()
        kept = self._kept.get(question)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        if self._waiting >= _MOST_WAITING:
            raise ReviewsUnavailable("too many tokens are being looked at")
        self._waiting += 1
        try:
            async with self._turns:
                client = await self._ask(token, models)
        finally:
            self._waiting -= 1
        self._kept[question] = (self._clock() + _KEPT_SECONDS, client)
        self._kept.move_to_end(question)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return client

    async def _ask(self, token: str, models: Sequence[str]) -> Client | None:
        try:
            # A name that no expert can have is not worth a question.
            asked = tuple(model for model in models if len(model) <= 128)
            body = AccessQuestion(token=token, models=asked).model_dump(mode="json")
            answer = await self._http.post(self._url, json=body)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                return None
            answer.raise_for_status()
            said = AccessAnswer.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            # What a ValidationError says would hold the token.
            log.warning("a token could not be reviewed: %s", type(error).__name__)
            raise ReviewsUnavailable("tokens cannot be checked now") from None
        # No entry of a Secret has a colon: a user is never taken for the client of a key.
        return Client(f"kubernetes:{said.user}", said.patterns)
