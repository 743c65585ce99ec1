"""What a ModelServer is made of: who reaches what, when a Pod counts as ready, how it ends."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from nanodex_operator.manifests.engine_container import SOCKET
from nanodex_operator.manifests.engine_pod import build_deployment
from nanodex_operator.manifests.model_server import build_children, read_desired_set, server_url
from nanodex_operator.settings import Settings

from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.model_server import ModelServer

SETTINGS = Settings(
    namespace="nanodex-system",
    store="s3://nanodex/prod",
    nanodex_image="registry.example/nanodex:1",
    trainer_image="registry.example/trainer:1",
    engine_image="registry.example/vllm-cpu:1",
)
DESIRED = DesiredSet(
    generation=7,
    experts=(
        ServedExpert(
            name="team-a/payments-api",
            digest="sha256:" + "a1" * 32,
            key="5e" * 32,
            rank=16,
            commit="c" * 40,
        ),
    ),
)


def make_server(**spec: Any) -> ModelServer:
    spec = {"baseModel": {"uri": "bundled://smollm2-135m-instruct"}} | spec
    return ModelServer.model_validate({"metadata": {"name": "smol"}, "spec": spec})


def gpu_server() -> ModelServer:
    return make_server(
        baseModel={"uri": "hf://Qwen/Qwen2.5-Coder-7B-Instruct", "secretRef": {"name": "hf"}},
        replicas=2,
        engine={
            "image": "registry.example/vllm-openai:v0.32.0",
            "extraArgs": ["--tensor-parallel-size", "2"],
            "env": [
                {"name": "NCCL_DEBUG", "value": "WARN"},
                {"name": "VLLM_API_KEY", "value": "locks the agent out"},
            ],
        },
        pod={
            "resources": {"limits": {"nvidia.com/gpu": "2", "memory": "96Gi"}},
            "nodeSelector": {"gpu": "h200"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        },
    )


def children(server: ModelServer, settings: Settings = SETTINGS) -> list[dict[str, Any]]:
    return list(build_children(server=server, uid="0b5e7a55", desired=DESIRED, settings=settings))


def pod(server: ModelServer, settings: Settings = SETTINGS) -> dict[str, Any]:
    deployment = build_deployment(server=server, uid="0b5e7a55", settings=settings)
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def engine(server: ModelServer) -> dict[str, Any]:
    (only,) = pod(server)["containers"]
    return dict(only)


def agent(server: ModelServer, settings: Settings = SETTINGS) -> dict[str, Any]:
    *_, last = pod(server, settings)["initContainers"]
    return dict(last)


def of_kind(kind: str, server: ModelServer, settings: Settings = SETTINGS) -> dict[str, Any]:
    (only,) = [one for one in children(server, settings) if one["kind"] == kind]
    return only


def as_yaml(*objects: dict[str, Any]) -> str:
    return yaml.safe_dump_all(objects, sort_keys=False, width=100)


def test_the_children_of_a_server_on_the_cpu(golden) -> None:
    golden(Path("model-server-cpu.yaml"), as_yaml(*children(make_server())))


def test_the_children_of_a_server_on_gpus(golden) -> None:
    settings = SETTINGS.model_copy(
        update={
            "store_endpoint": "https://s3.example:9000",
            "store_ca_config_map": "nanodex-store-ca",
            "image_pull_secrets": ("registry",),
        }
    )
    golden(Path("model-server-gpu.yaml"), as_yaml(*children(gpu_server(), settings)))


@pytest.mark.parametrize("server", [make_server(), gpu_server()], ids=["cpu", "gpu"])
def test_all_belong_to_the_server_and_live_with_the_operator(server: ModelServer) -> None:
    for child in children(server):
        metadata = child["metadata"]
        assert metadata["namespace"] == "nanodex-system"
        assert metadata["labels"]["nanodex.dev/server"] == "smol"
        (owner,) = metadata["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("ModelServer", "smol", "0b5e7a55")


@pytest.mark.parametrize("server", [make_server(), gpu_server()], ids=["cpu", "gpu"])
def test_the_pod_fits_pod_security_restricted_and_holds_no_token(server: ModelServer) -> None:
    spec = pod(server)

    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*spec["initContainers"], *spec["containers"]):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        # What the NVIDIA runtime writes into a GPU's container is the one exception.
        assert security["readOnlyRootFilesystem"] or container["name"] == "engine"
    allowed = {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}
    assert {key for volume in spec["volumes"] for key in volume if key != "name"} <= allowed


def test_the_engine_has_no_port_and_neither_keys_nor_credentials_of_the_store() -> None:
    container = engine(make_server())

    assert "ports" not in container
    assert "envFrom" not in container
    assert container["args"][container["args"].index("--uds") + 1] == SOCKET
    assert not {"--host", "--port", "--api-key"} & set(container["args"])
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        "run", "model", "adapters", "engine-tmp", "shm",
    }  # fmt: skip
    read_only = {m["name"] for m in container["volumeMounts"] if m.get("readOnly")}
    assert read_only == {"model", "adapters"}


def test_an_engine_on_the_cpu_has_one_slot_more_than_the_agent_fills() -> None:
    server = make_server(adapters={"maxLoaded": 5, "maxRank": 64})
    arguments = engine(server)["args"]

    assert arguments[arguments.index("--max-loras") + 1] == "6"
    assert arguments[arguments.index("--max-lora-rank") + 1] == "64"
    assert {"--resident=5", "--max-rank=64", "--device=cpu"} <= set(agent(server)["args"])
    assert "--enforce-eager" in arguments


def test_an_engine_on_a_gpu_compiles_and_keeps_adapters_in_memory() -> None:
    server = gpu_server()
    arguments = engine(server)["args"]

    assert "--enforce-eager" not in arguments
    assert arguments[arguments.index("--max-cpu-loras") + 1] == "64"
    assert {"--resident=64", "--device=cuda", "--parity-limit=0.12"} <= set(agent(server)["args"])


def test_what_the_administrator_adds_cannot_open_the_engine() -> None:
    container = engine(gpu_server())
    names = [entry["name"] for entry in container["env"]]

    assert container["args"][:2] == ["--tensor-parallel-size", "2"]
    assert "VLLM_API_KEY" not in names
    assert len(names) == len(set(names))


def test_how_an_engine_on_a_cpu_waits_is_the_administrators_choice() -> None:
    def rounds(server: ModelServer) -> list[str]:
        env = engine(server)["env"]
        return [entry["value"] for entry in env if entry["name"] == "GOMP_SPINCOUNT"]

    chosen = [{"name": "GOMP_SPINCOUNT", "value": "300000"}]
    assert rounds(make_server()) == ["2000"]
    assert rounds(make_server(engine={"env": chosen})) == ["300000"]
    assert rounds(gpu_server()) == []


def test_a_limit_of_the_cpu_is_one_of_threads_unless_the_administrator_says_otherwise() -> None:
    def threads(**engine_spec: object) -> list[dict[str, Any]]:
        limited = {"resources": {"limits": {"cpu": "2"}}}
        env = engine(make_server(pod=limited, engine=engine_spec))["env"]
        return [entry for entry in env if entry["name"] == "OMP_NUM_THREADS"]

    [limit] = threads()
    assert limit["valueFrom"]["resourceFieldRef"]["resource"] == "limits.cpu"
    chosen = {"name": "OMP_NUM_THREADS", "value": "1"}
    assert threads(env=[chosen]) == [chosen]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--kv-cache-memory-bytes", "5"), ("--distributed-executor-backend", "mp")],
)
def test_room_and_processes_on_a_cpu_are_the_administrators_choice(option: str, value: str) -> None:
    server = make_server(engine={"extraArgs": [option, value]})

    assert engine(make_server())["args"].count(option) == 1
    assert engine(server)["args"].count(option) == 1
    assert engine(server)["args"][:2] == [option, value]


def test_the_agent_starts_first_without_waiting_for_the_engine() -> None:
    container = agent(make_server())

    assert container["restartPolicy"] == "Always"
    assert container["startupProbe"]["tcpSocket"] == {"port": "private"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert "readinessProbe" not in engine(make_server())


def test_the_engine_may_take_long_to_start_and_is_restarted_when_it_hangs() -> None:
    container = engine(make_server())

    assert container["startupProbe"]["failureThreshold"] >= 120
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"][-1] == SOCKET
    # A stopped engine leaves its socket behind.
    assert container["command"][:4] == ["/bin/sh", "-c", 'rm -f "$0"; exec "$@"', SOCKET]


def test_the_engine_ends_only_after_the_agent_has_drained() -> None:
    spec = pod(make_server())
    waits = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    drains = agent(make_server())["lifecycle"]["preStop"]["exec"]["command"][-1]

    assert "while [ -e /run/engine/draining ]" in waits
    assert drains.startswith(": > /run/engine/draining;")
    assert "--drain=/run/engine/draining" in agent(make_server())["args"]
    drain = next(a for a in agent(make_server())["args"] if a.startswith("--drain-seconds="))
    assert spec["terminationGracePeriodSeconds"] > int(drain.partition("=")[2]) + 20


def test_nobody_may_ask_while_the_secret_with_the_keys_is_missing() -> None:
    (volume,) = [one for one in pod(make_server())["volumes"] if one["name"] == "keys"]

    # The Pod starts and says so; `--keys` is given in any case, so that nobody is let in.
    assert volume["secret"]["optional"] is True
    assert "--keys=/etc/nanodex/keys" in agent(make_server())["args"]


def test_clients_reach_the_agent_alone_and_the_pod_reaches_what_it_needs_alone() -> None:
    policy = of_kind("NetworkPolicy", make_server())["spec"]

    public, private = policy["ingress"]
    assert public == {"ports": [{"port": 8000, "protocol": "TCP"}]}
    assert private["ports"] == [{"port": 8001, "protocol": "TCP"}]
    assert private["from"]
    _, store = policy["egress"]
    assert [one["port"] for one in store["ports"]] == [443]
    blocks = [one["ipBlock"] for one in store["to"] if "ipBlock" in one]
    assert {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]} in blocks


@pytest.mark.parametrize(
    ("settings", "uri", "ports"),
    [
        ({"store_endpoint": "http://s3.store:8333"}, "bundled://smollm2-135m-instruct", [8333]),
        ({"store_endpoint": "http://s3.store"}, "bundled://smollm2-135m-instruct", [80]),
        ({"store_endpoint": "https://s3.store"}, "hf://a/b", [443]),
        ({"store_ports": ("9000", "9001")}, "hf://a/b", [443, 9000, 9001]),
        ({"store_ports": ("9000",)}, "bundled://smollm2-135m-instruct", [9000]),
    ],
)
def test_the_ports_of_the_store_and_of_a_hub(
    settings: dict[str, Any], uri: str, ports: list[int]
) -> None:
    server = make_server(baseModel={"uri": uri})
    policy = of_kind("NetworkPolicy", server, SETTINGS.model_copy(update=settings))

    assert [one["port"] for one in policy["spec"]["egress"][1]["ports"]] == ports


def test_the_service_leads_to_the_agents_port_for_clients() -> None:
    service = of_kind("Service", make_server())["spec"]

    assert [port["targetPort"] for port in service["ports"]] == ["http"]
    assert server_url(make_server(), settings=SETTINGS) == (
        "http://ms-smol.nanodex-system.svc:8000/v1"
    )


def test_limits_of_the_spec_reach_the_agent() -> None:
    server = make_server(
        adapters={"maxDisk": "500Mi"},
        engine={"parityLimit": "0.01"},
        access={"maxConcurrentRequests": 5},
    )

    assert {
        f"--disk-bytes={500 << 20}", "--parity-limit=0.01", "--max-concurrent=5",
    } <= set(agent(server)["args"])  # fmt: skip


def test_whom_the_agent_asks_about_tokens_and_that_the_network_lets_it() -> None:
    server = make_server()
    url = "http://nanodex-access.nanodex-system.svc:8090"
    asking = SETTINGS.model_copy(update={"token_reviews": url})

    assert f"--token-reviews={url}" in agent(server, asking)["args"]
    with_reviews, without = (
        of_kind("NetworkPolicy", server, one)["spec"]["egress"] for one in (asking, SETTINGS)
    )
    assert with_reviews[:-1] == without
    assert with_reviews[-1]["ports"] == [{"port": 8090, "protocol": "TCP"}]


def test_a_word_of_the_administrator_is_no_variable_of_kubernetes() -> None:
    server = make_server(engine={"extraArgs": ["--x=$(HF_TOKEN)"]})

    assert engine(server)["args"][0] == "--x=$$(HF_TOKEN)"


def test_the_set_in_the_config_map_is_the_set() -> None:
    config_map = of_kind("ConfigMap", make_server())

    assert read_desired_set(config_map) == DESIRED
    assert config_map["metadata"]["annotations"] == {"nanodex.dev/set-generation": "7"}
    with pytest.raises(ValueError, match="validation error"):
        read_desired_set({"data": {}})


def test_a_set_that_was_made_from_an_older_one_is_refused_by_the_api_server() -> None:
    config_map, *_ = build_children(
        server=make_server(), uid="u", desired=DESIRED, replaces="41", settings=SETTINGS
    )

    assert config_map["metadata"]["resourceVersion"] == "41"
    assert "resourceVersion" not in of_kind("ConfigMap", make_server())["metadata"]
