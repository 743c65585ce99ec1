"""The CodeExpert as a Job carries it: what the stages read, as one JSON text.

A Job is one immutable object: a later edit of the resource cannot change what its retried Pod
computes. Defaults are left out, so that an image which is older than the operator still knows each
field; the image is pinned in the same Job, and with it the defaults.
"""

import json
import re
from typing import Any

from nanodex.api.code_expert import CodeExpert

_READ_BY_STAGES = {"source", "base_model", "extract", "brain", "dataset", "training", "evaluation"}
# How the cluster runs it. The Pod's fields have no bound, and an annotation has one (256 KiB).
_NOT_READ = {"training": {"pod", "nodes", "active_deadline", "backoff_limit", "queue_name"}}
# Valid in JSON, but YAML 1.1 (what the command line reads) refuses or folds them.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def travelling(expert: CodeExpert, *, workers: int) -> str:
    """Return the JSON that a stage reads in place of the resource.

    Args:
        expert: what the user wants.
        workers: parser processes where the resource names no number.
    """
    spec: dict[str, Any] = expert.spec.model_dump(
        mode="json", include=_READ_BY_STAGES, exclude=_NOT_READ, exclude_defaults=True
    )
    # A dump leaves it out because it is no part of a key.
    spec.setdefault("extract", {})["workers"] = expert.spec.extract.workers or workers
    resource = {
        "apiVersion": expert.api_version,
        "kind": expert.kind,
        "metadata": {"name": expert.metadata.name, "namespace": expert.metadata.namespace},
        "spec": spec,
    }
    text = json.dumps(resource, ensure_ascii=False, separators=(",", ":"))
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
