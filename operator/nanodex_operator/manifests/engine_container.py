"""The container of vLLM: which arguments, which environment, when it counts as alive.

It listens on a Unix socket alone. Its own surface loads adapters for whoever asks, so the agent is
the only one that can reach it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nanodex.api.engine_arguments import (
    ENGINE_MODULE,
    EXECUTOR_OPTION,
    KV_CACHE_OPTION,
    Device,
    EngineSettings,
    engine_arguments,
    engine_environment,
    served_dtype,
)
from nanodex.api.model_server import ModelServer
from nanodex_operator.manifests.resources import threads_of, wants_gpu
from nanodex_operator.settings import Settings

ENGINE = "engine"
RUN = "/run/engine"
SOCKET = f"{RUN}/engine.sock"
# The agent makes it when the Pod is about to end and removes it when no answer is under way.
DRAINING = f"{RUN}/draining"
MODEL = "/model"
BASE_MODEL = f"{MODEL}/current"
ADAPTERS = "/adapters"

# The operator does not know the base model's sizes; this is 9000 tokens of a 7B model in float32.
_CPU_KV_CACHE_BYTES = 1 << 30
# How much room and how many processes: the administrator knows the node. All else of ours counts.
_CHOSEN_BY_ADMINISTRATOR = frozenset({KV_CACHE_OPTION, EXECUTOR_OPTION})
# Reading a large model from a slow volume takes its time.
_START_SECONDS = 1800
_PROBE_SECONDS = 5
# Both hooks wait for the agent; this is for an agent that is dead.
_DRAIN_LIMIT_SECONDS = 130
# A stopped vLLM leaves its socket behind, and the next start would fail on it.
_START = 'rm -f "$0"; exec "$@"'
_HEALTHY = (
    "import socket,sys; s=socket.socket(socket.AF_UNIX); s.settimeout(4); s.connect(sys.argv[1]); "
    r"s.sendall(b'GET /health HTTP/1.0\r\nHost: engine\r\n\r\n'); "
    "sys.exit(b' 200 ' not in s.recv(64))"
)
# These are ours: another value would open the engine or lock the agent out.
_WITHHELD = frozenset({"VLLM_API_KEY", "VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"})


def device_of(server: ModelServer) -> Device:
    """`cuda` where the Pod asks for a GPU, `cpu` otherwise."""
    return "cuda" if wants_gpu(server.spec.pod.resources) else "cpu"


def engine_settings(server: ModelServer) -> EngineSettings:
    """Return what decides the engine's arguments; the agent needs some of it too."""
    spec = server.spec
    device = device_of(server)
    return EngineSettings(
        model=BASE_MODEL,
        socket=SOCKET,
        device=device,
        dtype=served_dtype(spec.engine.dtype, device),
        max_model_len=spec.engine.max_model_len,
        max_rank=spec.adapters.max_rank,
        max_loaded=spec.adapters.max_loaded,
        max_cached=spec.adapters.max_cached,
        kv_cache_bytes=_CPU_KV_CACHE_BYTES,
    )


def engine_container(
    server: ModelServer, *, settings: Settings, mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the container of vLLM.

    Args:
        server: what the administrator wants.
        settings: the operator's.
        mounts: where its volumes are.
    """
    device = device_of(server)
    wanted = server.spec.pod.resources
    healthy = {"exec": {"command": ["python3", "-I", "-S", "-c", _HEALTHY, SOCKET]}}
    return {
        "name": ENGINE,
        "image": server.spec.engine.image or settings.engine_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["/bin/sh", "-c", _START, SOCKET, "python3", "-m", ENGINE_MODULE],
        "args": [literal(word) for word in _arguments(server)],
        "env": _environment(server, device=device),
        "resources": dict(wanted) or {"requests": {"cpu": "1", "memory": "6Gi"}},
        "securityContext": container_security(read_only=device == "cpu"),
        "startupProbe": {
            **healthy,
            "periodSeconds": _PROBE_SECONDS,
            "timeoutSeconds": 5,
            "failureThreshold": _START_SECONDS // _PROBE_SECONDS,
        },
        "livenessProbe": {
            **healthy,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        # Kubernetes ends this container first: it has to wait for the answers under way.
        "lifecycle": {"preStop": {"exec": {"command": wait_for_agent("sleep 1")}}},
        "volumeMounts": mounts,
    }


def container_security(*, read_only: bool) -> dict[str, Any]:
    """Return what PodSecurity `restricted` asks of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        # The NVIDIA runtime writes the driver's libraries into the container.
        "readOnlyRootFilesystem": read_only,
    }


def wait_for_agent(first: str) -> list[str]:
    """Return the command of a hook: do `first`, then wait until the agent has drained."""
    rounds = 2 * _DRAIN_LIMIT_SECONDS
    loop = f"n=0; while [ -e {DRAINING} ] && [ $n -lt {rounds} ]; do sleep 0.5; n=$((n+1)); done"
    return ["/bin/sh", "-c", f"{first}; {loop}"]


def literal(word: str) -> str:
    """Keep the kubelet from putting the value of a variable in the place of $(NAME)."""
    return word.replace("$", "$$")


def _arguments(server: ModelServer) -> Iterable[str]:
    """What the administrator adds comes first: where both say something, ours counts."""
    ours = engine_arguments(engine_settings(server))
    extra = server.spec.engine.extra_args
    named = {word.split("=")[0] for word in extra}
    for option in _CHOSEN_BY_ADMINISTRATOR & named & set(ours):
        at = ours.index(option)
        ours = ours[:at] + ours[at + 2 :]
    return (*extra, *ours)


def _environment(server: ModelServer, *, device: Device) -> list[dict[str, Any]]:
    # A user without a name or a home: torch and vLLM look for both.
    ours: Mapping[str, str] = {
        "HOME": "/tmp",
        "USER": "nanodex",
        "LOGNAME": "nanodex",
        "XDG_CACHE_HOME": "/tmp/cache",
        "VLLM_CACHE_ROOT": "/tmp/cache/vllm",
        "TRITON_CACHE_DIR": "/tmp/cache/triton",
        "TORCHINDUCTOR_CACHE_DIR": "/tmp/cache/inductor",
        **engine_environment(device),
    }
    kept = [
        dict(entry)
        for entry in server.spec.engine.env
        if entry.get("name") not in _WITHHELD and entry.get("name") not in ours
    ]
    entries = [{"name": name, "value": value} for name, value in ours.items()]
    if device == "cpu":
        # How many threads there are and how they wait is the administrator's choice.
        named = {entry.get("name") for entry in kept}
        threads = threads_of(server.spec.pod.resources, container=ENGINE)
        entries += [entry for entry in threads if entry["name"] not in named]
    return [*kept, *entries]
