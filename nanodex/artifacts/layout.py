"""The names of all objects in a store; the only place that knows the layout.

v1/<scope>/<stage>/<key>/manifest.json       written last; its existence is the commit
v1/<scope>/blobs/sha256/<digest>             the files
v1/<scope>/train/<key>/checkpoints/step-N/   for resume
v1/<scope>/train/<key>/progress.json         small, overwritten, for status
"""

import re

from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName
from nanodex.errors import UserError

ROOT = "v1"
PROBES = f"{ROOT}/.probe/"  # No scope starts with a dot.
MANIFEST = "manifest.json"

_SCOPE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def scope_prefix(scope: str) -> str:
    """Return the prefix of everything that a namespace owns.

    Raises:
        UserError: `scope` is not the name of a namespace.
    """
    if _SCOPE.fullmatch(scope) is None:
        raise UserError(
            f"{scope!r} is not a namespace",
            reason=Reason.INVALID_INPUT,
            hint="Use at most 63 of a-z, 0-9 and '-', neither first nor last a '-'.",
        )
    return f"{ROOT}/{scope}/"


def stage_prefix(*, scope: str, stage: StageName) -> str:
    """Return the prefix of all runs of a stage."""
    return f"{scope_prefix(scope)}{stage.value}/"


def run_prefix(*, scope: str, stage: StageName, key: str) -> str:
    """Return the prefix of one run; `key` is 64 hexadecimal digits."""
    return f"{stage_prefix(scope=scope, stage=stage)}{_hexadecimal(key)}/"


def manifest_name(*, scope: str, stage: StageName, key: str) -> str:
    """Return the name of the manifest that commits a run."""
    return run_prefix(scope=scope, stage=stage, key=key) + MANIFEST


def blobs_prefix(scope: str) -> str:
    """Return the prefix of all files of a namespace."""
    return f"{scope_prefix(scope)}blobs/sha256/"


def blob_name(*, scope: str, sha256: str) -> str:
    """Return the name of a file with this content."""
    return blobs_prefix(scope) + _hexadecimal(sha256)


def checkpoints_prefix(*, scope: str, key: str) -> str:
    """Return the prefix below which the checkpoints `step-N/` of a training run lie."""
    return run_prefix(scope=scope, stage=StageName.TRAIN, key=key) + "checkpoints/"


def progress_name(*, scope: str, key: str) -> str:
    """Return the name of the progress report of a training run."""
    return run_prefix(scope=scope, stage=StageName.TRAIN, key=key) + "progress.json"


def _hexadecimal(text: str) -> str:
    if _DIGEST.fullmatch(text) is None:
        raise UserError(
            f"{text[:80]!r} is not a key or digest",
            reason=Reason.INVALID_INPUT,
            hint="A key is 64 hexadecimal digits in lower case.",
        )
    return text
