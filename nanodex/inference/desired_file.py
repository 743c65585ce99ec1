"""The desired set as Kubernetes mounts it: a file behind a link that is exchanged at once."""

import logging
from pathlib import Path

from nanodex.api.desired import DesiredSet
from nanodex.errors import UserError
from nanodex.inference.desired import read_desired

log = logging.getLogger(__name__)


class DesiredFile:
    """Reads a desired set again when its file changed.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: tuple[int, int, int] | None = None
        self._desired = DesiredSet()

    def read(self) -> DesiredSet:
        """Return the newest set that could be read; the same object while nothing changed."""
        try:
            status = self._path.stat()
            state = (status.st_ino, status.st_mtime_ns, status.st_size)
            if state == self._state:
                return self._desired
            desired = read_desired(self._path)
        except (OSError, UserError) as error:
            # What is served goes on being served.
            log.error("the desired set cannot be read: %s", error)
            return self._desired
        self._state = state
        if desired.generation < self._desired.generation:
            log.warning(
                "the desired set went back from generation %d to %d",
                self._desired.generation,
                desired.generation,
            )
        self._desired = desired
        log.info("desired set %d: %d versions", desired.generation, len(desired.experts))
        return desired
