"""What `helm test` runs in the operator's image: are the CRDs served, and is the operator healthy?

Standard library only; the chart passes this text to `python -c`.
"""

import argparse
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

GROUP_VERSION = "nanodex.dev/v1alpha1"
SERVED = {"codeexperts", "codeexperts/status", "modelservers", "modelservers/status"}
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def missing_resources(api: str, *, token: str, authority: Path) -> str:
    """Return what the API server does not serve, as a sentence; empty when all is there."""
    request = urllib.request.Request(
        f"{api}/apis/{GROUP_VERSION}", headers={"Authorization": f"Bearer {token}"}
    )
    trusted = ssl.create_default_context(cafile=authority)
    try:
        with urllib.request.urlopen(request, timeout=5, context=trusted) as answer:
            served = {resource["name"] for resource in json.load(answer)["resources"]}
    except OSError as error:
        return f"{GROUP_VERSION} is not served: {error}"
    missing = ", ".join(sorted(SERVED - served))
    return f"{GROUP_VERSION} lacks {missing}" if missing else ""


def unhealthy(url: str) -> str:
    """Return why the operator is not healthy, as a sentence; empty when it is."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return ""
    except OSError as error:
        return f"{url}: {error}"


def eventually(look: Callable[[], str], *, seconds: float) -> str:
    """Look until there is nothing to say or the time is up; return what there is to say."""
    deadline = time.monotonic() + seconds
    while (said := look()) and time.monotonic() < deadline:
        time.sleep(1)
    return said


def main() -> int:
    """Print what is wrong, if anything; return the exit code."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
    host = f"[{host}]" if ":" in host else host
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--health", required=True, help="address that says the operator is well")
    parser.add_argument(
        "--api", default=f"https://{host}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
    )
    parser.add_argument("--token-file", type=Path, default=ACCOUNT / "token")
    parser.add_argument("--authority", type=Path, default=ACCOUNT / "ca.crt")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to try")
    given = parser.parse_args()
    token = given.token_file.read_text(encoding="ascii").strip()
    problems = [
        eventually(
            lambda: missing_resources(given.api, token=token, authority=given.authority),
            seconds=given.seconds / 2,
        ),
        eventually(lambda: unhealthy(given.health), seconds=given.seconds / 2),
    ]
    for problem in filter(None, problems):
        print(problem, file=sys.stderr)
    if any(problems):
        return 1
    print(f"{GROUP_VERSION} is served and the operator is healthy")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
