"""One line for each request: who asked which adapter, what it cost; never what was asked."""

import logging
import time
from dataclasses import dataclass, field

log = logging.getLogger("nanodex.audit")


@dataclass
class Entry:
    """What is known of one request; written once, at its end."""

    path: str
    client: str = ""
    # Public name of the version that answered; never what the client wrote.
    model: str = ""
    digest: str = ""
    status: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    started: float = field(default_factory=time.monotonic)

    def write(self) -> None:
        """Log the line."""
        log.info(
            "%s %s",
            self.path,
            self.status,
            extra={
                "facts": {
                    "path": self.path,
                    "client": self.client,
                    "model": self.model,
                    "digest": self.digest,
                    "status": self.status,
                    "promptTokens": self.prompt_tokens,
                    "answerTokens": self.answer_tokens,
                    "seconds": round(time.monotonic() - self.started, 3),
                }
            },
        )
