"""What an agent asks about a bearer token, and what it is answered.

The agent's Pod holds no token of its own. A small component beside the operator does, with two
rights: to ask the API server whose a token is, and what its owner may do.
"""

from typing import Annotated

from pydantic import Field

from nanodex.api.base import Contract

# Longer than any token of a ServiceAccount or an OIDC provider.
MAX_TOKEN_LENGTH = 16384
# What may be asked is `create` on this resource, in the group of the resources.
ASK_RESOURCE, ASK_SUBRESOURCE, ASK_VERB = "codeexperts", "ask", "create"

_Model = Annotated[str, Field(max_length=128)]


class AccessQuestion(Contract):
    """Whose token is this, and which of these models may they ask?"""

    token: str = Field(min_length=1, max_length=MAX_TOKEN_LENGTH, repr=False)
    models: tuple[_Model, ...] = Field(
        default=(), max_length=8192, description="Public names; none: only who it is."
    )


class AccessAnswer(Contract):
    """The answer for a token that is valid."""

    user: str = Field(max_length=1024, description="Name of the user, as the API server has it.")
    patterns: tuple[_Model, ...] = Field(
        default=(), description="`*`, `<namespace>/*` or `<namespace>/<name>`: what may be asked."
    )
