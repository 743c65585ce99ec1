"""Questions without a pause, out of another namespace: what a fault costs is read off them."""

import json
from typing import Any

from hack.kind.world.manifests import Object, task

POD = "traffic"
# One each second, however long the others take, a few words for one token: two cores are all there
# is. Nothing is tried again.
_ASK = """\
import http.client, itertools, json, os, sys, threading, time, urllib.error, urllib.request
body = json.dumps({"model": os.environ["MODEL"], "max_tokens": 1, "temperature": 0,
                   "messages": [{"role": "system", "content": ""},
                                {"role": "user", "content": "Zone?"}]}).encode()
headers = {"Authorization": "Bearer " + os.environ["NANODEX_API_KEY"],
           "Content-Type": "application/json"}
def ask(number):
    said = {"number": number, "at": time.time(), "status": 0, "digest": "", "error": ""}
    try:
        try:
            request = urllib.request.Request(os.environ["URL"], data=body, headers=headers)
            with urllib.request.urlopen(request, timeout=400) as answer:
                answer.read()
                said["status"], said["digest"] = answer.status, answer.headers["nanodex-digest"]
        except urllib.error.HTTPError as error:
            said["status"], said["error"] = error.code, error.read().decode()[:300]
    except (OSError, http.client.HTTPException) as error:
        said["error"] = repr(error)
    said["seconds"] = round(time.time() - said["at"], 3)
    sys.stdout.write(json.dumps(said) + "\\n")
    sys.stdout.flush()
for number in itertools.count():
    threading.Thread(target=ask, args=(number,), daemon=True).start()
    time.sleep(1)
"""


def traffic_pod(
    *, namespace: str, node: str, image: str, url: str, model: str, secret: str
) -> Object:
    """Return the Pod that asks for as long as it lives."""
    job = task(
        POD,
        namespace=namespace,
        image=image,
        command=("python", "-c", _ASK),
        env={"URL": f"{url}/chat/completions", "MODEL": model, "HOME": "/tmp"},
        secrets=(secret,),
    )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "namespace": namespace},
        "spec": {**job["spec"]["template"]["spec"], "nodeName": node},
    }


def answers(log: str, *, since: float) -> list[dict[str, Any]]:
    """Return the answers to what was asked from a moment on, in the order of the questions."""
    found = [json.loads(line) for line in log.splitlines()]
    return sorted((one for one in found if one["at"] >= since), key=lambda one: one["number"])


def is_whole(seen: list[dict[str, Any]], *, until: float) -> bool:
    """Tell whether all that was asked from the beginning until a moment is answered."""
    later = [one["number"] for one in seen if one["at"] >= until]
    return bool(later) and [one["number"] for one in seen][: later[0] + 1] == [*range(later[0] + 1)]


def failed(seen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answers that no client is content with."""
    return [one for one in seen if one["status"] != 200]
