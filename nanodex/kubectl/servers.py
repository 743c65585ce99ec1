"""Which Service of the cluster answers for an expert."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import TryAgain
from nanodex.kubectl.experts import Expert


@dataclass(frozen=True, kw_only=True)
class Service:
    """A Service of a ModelServer."""

    name: str
    namespace: str
    port: int


def service_of(expert: Expert) -> Service:
    """Return the Service behind `status.serving.url`.

    Raises:
        TryAgain: the expert is not served yet.
    """
    parts = urlsplit(expert.status.serving.url)
    name, _, rest = (parts.hostname or "").partition(".")
    namespace = rest.partition(".")[0]
    if not name or not namespace:
        raise TryAgain(
            f"{expert.model} is not served: {expert.status.message or 'it has no server yet'}",
            reason=Reason.SERVER_UNAVAILABLE,
            hint=f"kubectl nanodex status {expert.model} says what it waits for",
            exit_code=ExitCode.SERVER_UNAVAILABLE,
        )
    return Service(name=name, namespace=namespace, port=parts.port or 80)
