"""What surrounds nanodex in a cluster of the tests and the demo: namespaces, a store, a git server.

Pure: values in, objects out. Everything runs under PodSecurity `restricted`, as nanodex does.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

BUCKET = "nanodex"
S3_PORT = 8333
HTTPS_PORT = 8443
SSH_PORT = 2222
_USER = 65532
_LEVELS = ("enforce", "audit", "warn")
_HARDENED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_MAKE_BUCKET = f"""\
import boto3
from botocore.config import Config
client = boto3.client("s3", config=Config(s3={{"addressing_style": "path"}}))
found = [one["Name"] for one in client.list_buckets()["Buckets"]]
{BUCKET!r} in found or client.create_bucket(Bucket={BUCKET!r})
"""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Who may do what in the store.

    Attributes:
        name: of the identity.
        access_key: its public half.
        secret_key: its secret half.
        actions: as SeaweedFS names them: `Read`, or `Write:bucket/prefix`.
    """

    name: str
    access_key: str
    secret_key: str
    actions: tuple[str, ...]

    def identity(self) -> Object:
        """Return the entry of SeaweedFS's configuration."""
        return {
            "name": self.name,
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": list(self.actions),
        }

    def secret(self, name: str, *, namespace: str) -> Object:
        """Return the Secret that the AWS SDK's environment is made from."""
        values = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
        }
        return secret(name, namespace=namespace, values=values)


def actions_of_team(team: str, *, prefixes: Iterable[str]) -> tuple[str, ...]:
    """Return what a namespace's keys may do: list names, and work on its own artifacts alone.

    Args:
        team: the namespace.
        prefixes: folders of all artifacts in the bucket.
    """
    # The probe writes beside the namespaces: docs/stores.md has the same for other servers.
    return (
        f"List:{BUCKET}",
        *(
            f"{action}:{BUCKET}/{prefix}/v1/{place}/*"
            for prefix in prefixes
            for place in (team, ".probe")
            for action in ("Read", "Write")
        ),
    )


def actions_of_readers() -> tuple[str, ...]:
    """Return what the keys of the operator and of the engines' agents may do."""
    return (f"List:{BUCKET}", f"Read:{BUCKET}")


def namespace(name: str) -> Object:
    """Return a namespace in which Pods are restricted."""
    labels = {f"pod-security.kubernetes.io/{level}": "restricted" for level in _LEVELS}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def secret(name: str, *, namespace: str, values: Mapping[str, str]) -> Object:
    """Return a Secret of texts."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": dict(values),
    }


def s3_store(*, namespace: str, image: str, keys: Sequence[Keys]) -> list[Object]:
    """Return SeaweedFS as one Pod: master, volume server, filer and S3. It forgets with its Pod."""
    identities = [one.identity() for one in keys]
    command = [
        "/usr/bin/weed", "-logtostderr=true", "server", "-dir=/data", "-ip.bind=0.0.0.0",
        # The servers in the Pod find each other here; there is no other.
        "-ip=127.0.0.1",
        "-master.volumeSizeLimitMB=64", "-volume.max=40", "-filer", "-s3", f"-s3.port={S3_PORT}",
        "-s3.config=/etc/s3/s3.json", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        # It would tell its makers how much is stored.
        "-master.telemetry=false",
    ]  # fmt: skip
    container = {
        "name": "weed",
        "image": image,
        "command": command,
        "ports": [{"name": "s3", "containerPort": S3_PORT}],
        "readinessProbe": {"tcpSocket": {"port": "s3"}, "periodSeconds": 1},
        "resources": {
            "requests": {"cpu": "50m", "memory": "256Mi"},
            "limits": {"memory": "1Gi"},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "config", "mountPath": "/etc/s3", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    volumes = [
        # A host-path volume would be root's alone, and this Pod is restricted.
        {"name": "data", "emptyDir": {}},
        {"name": "config", "secret": {"secretName": "s3-identities"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    return [
        secret(
            "s3-identities",
            namespace=namespace,
            values={"s3.json": json.dumps({"identities": identities})},
        ),
        _deployment("s3", namespace=namespace, container=container, volumes=volumes),
        _service("s3", namespace=namespace, ports={"s3": S3_PORT}),
    ]


def task(
    name: str,
    *,
    namespace: str,
    image: str,
    command: Sequence[str],
    env: Mapping[str, str],
    secrets: Sequence[str],
    retries: int = 0,
) -> Object:
    """Return a Job of one restricted Pod.

    Args:
        name: of the Job.
        namespace: Where to.
        image: of the container.
        command: what it runs.
        env: its environment.
        secrets: Secrets whose entries are environment, too.
        retries: how often it may fail.
    """
    container = {
        "name": "task",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "envFrom": [{"secretRef": {"name": secret}} for secret in secrets],
        "securityContext": _HARDENED,
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"backoffLimit": retries, "template": {"spec": pod}},
    }


def bucket(*, namespace: str, image: str, secret: str) -> Object:
    """Return a Job that makes the bucket in the store of `s3_store`.

    Args:
        namespace: where the store is.
        image: one with boto3, such as nanodex.
        secret: Secret with keys that may make buckets.
    """
    return task(
        "bucket",
        namespace=namespace,
        image=image,
        command=("python", "-c", _MAKE_BUCKET),
        env={"AWS_ENDPOINT_URL_S3": endpoint(namespace)},
        secrets=(secret,),
        retries=10,
    )


def endpoint(namespace: str) -> str:
    """Return the address of the store in the cluster."""
    return f"http://s3.{namespace}.svc:{S3_PORT}"


def git_server(
    *,
    namespace: str,
    image: str,
    tls: Mapping[str, str],
    auth: Mapping[str, str],
    bundles: Mapping[str, bytes],
) -> list[Object]:
    """Return a git server that has a repository of each bundle.

    Args:
        namespace: Where to.
        image: What hack/kind/world/git/Containerfile makes.
        tls: `tls.crt` and `tls.key` in PEM.
        auth: `username` and `password` for https; `authorized_keys` and `ssh_host_key` for ssh.
        bundles: What `git bundle` wrote, by name of the repository.
    """
    container = {
        "name": "git",
        "image": image,
        "ports": [
            {"name": "https", "containerPort": HTTPS_PORT},
            {"name": "ssh", "containerPort": SSH_PORT},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/healthz", "port": "https", "scheme": "HTTPS"},
            "periodSeconds": 1,
        },
        "resources": {
            "requests": {"cpu": "20m", "memory": "64Mi"},
            "limits": {"memory": "256Mi"},
        },
        "volumeMounts": [
            {"name": "seed", "mountPath": "/seed", "readOnly": True},
            {"name": "tls", "mountPath": "/tls", "readOnly": True},
            {"name": "auth", "mountPath": "/auth", "readOnly": True},
            {"name": "repositories", "mountPath": "/repositories"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    volumes = [
        {"name": "seed", "configMap": {"name": "git-seed"}},
        {"name": "tls", "secret": {"secretName": "git-tls"}},
        {"name": "auth", "secret": {"secretName": "git-auth"}},
        {"name": "repositories", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
    ]
    seed = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "git-seed", "namespace": namespace},
        "binaryData": {
            f"{name}.bundle": base64.b64encode(data).decode() for name, data in bundles.items()
        },
    }
    return [
        seed,
        secret("git-tls", namespace=namespace, values=tls),
        secret("git-auth", namespace=namespace, values=auth),
        _deployment("git", namespace=namespace, container=container, volumes=volumes),
        _service("git", namespace=namespace, ports={"https": HTTPS_PORT, "ssh": SSH_PORT}),
    ]


def _deployment(name: str, *, namespace: str, container: Object, volumes: list[Object]) -> Object:
    marks = {"app.kubernetes.io/name": name}
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 2,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {**container, "imagePullPolicy": "IfNotPresent", "securityContext": _HARDENED}
        ],
        "volumes": volumes,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": marks},
        "spec": {
            "replicas": 1,
            # Two of them would write to one volume.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": marks},
            "template": {"metadata": {"labels": marks}, "spec": pod},
        },
    }


def _service(name: str, *, namespace: str, ports: Mapping[str, int]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"app.kubernetes.io/name": name},
            "ports": [
                {"name": port, "port": number, "targetPort": port} for port, number in ports.items()
            ],
        },
    }
