"""The key of a stage run: equal keys mean equal results, so the work is done once.

key = sha256(canonical JSON of stage, schema version, image, parameters that this stage reads,
digests of upstream artifacts, base model revision where used, scope). Nothing else may enter: not
the clock, not the name of the expert, not parameters of another stage.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from nanodex.api.stages import SCHEMA_VERSION, StageName


def canonical_json(value: Any) -> bytes:
    """Encode `value` so that equal values give equal bytes: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: `value` holds NaN or infinity.
        TypeError: `value` is not JSON.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def stage_key(
    stage: StageName,
    *,
    scope: str,
    parameters: Mapping[str, Any],
    upstream: Mapping[str, str],
    image: str = "",
    base_model_revision: str = "",
) -> str:
    """Return the key of a run as 64 hexadecimal digits.

    Args:
        stage: which stage.
        scope: the namespace; the same repository in another namespace is other work.
        parameters: the stage's own parameters, as JSON values.
        upstream: digest of each artifact that the stage reads, by stage; for extract the commit.
        image: digest of the image that runs the stage; empty outside a cluster.
        base_model_revision: revision of the base model; empty where the stage uses none.
    """
    return hashlib.sha256(
        canonical_json(
            {
                "stage": stage,
                "schemaVersion": SCHEMA_VERSION[stage],
                "scope": scope,
                "parameters": dict(parameters),
                "upstream": dict(upstream),
                "image": image,
                "baseModelRevision": base_model_revision,
            }
        )
    ).hexdigest()
