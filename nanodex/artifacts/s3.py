"""A store in an S3 bucket; the only module that imports boto3.

Credentials come from the default chain (environment, shared files, web identity, instance);
endpoint and CA from the arguments or from AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_CA_BUNDLE.

One attempt takes at most `READ_TIMEOUT_SECONDS` without a byte; nanodex.artifacts.s3_patience tries
again, so that there is one bound. What was given up leaves nothing half-written visible.
"""

import base64
import hashlib
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore import exceptions as aws
from botocore.config import Config

from nanodex.api.reasons import Reason
from nanodex.artifacts.s3_patience import Patience, Taken, code_of, is_foreign
from nanodex.artifacts.s3_reading import Reading
from nanodex.artifacts.store import ObjectInfo, ObjectMissing, changed_while_read
from nanodex.errors import UserError

PATIENCE_SECONDS = 120.0
CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30
_PART = 16 << 20  # Also the most memory that an upload holds.
_MAX_PARTS = 10_000

_log = logging.getLogger(__name__)


class S3Store:
    """Objects in `bucket` below `prefix`.

    Args:
        bucket: name of an existing bucket.
        prefix: folder in it, without slashes at its ends; empty for none.
        endpoint: URL of the server; None takes the environment's, else AWS.
        ca_bundle: file with the certificates to trust; None takes the environment's.
        patience_seconds: how long one operation is tried again while the store is away.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        ca_bundle: Path | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self._persist = Patience(self.uri, seconds=patience_seconds, reconnect=self._reconnect)
        # Servers other than AWS seldom have a host name for each bucket.
        custom = (
            endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        )
        try:
            session = boto3.session.Session()
            # A region is part of every signature; servers other than AWS take any.
            region = session.region_name or os.environ.get("AWS_REGION") or "us-east-1"
            self._client: Any = session.client(
                "s3",
                region_name=region,
                endpoint_url=custom,
                verify=None if ca_bundle is None else str(ca_bundle),
                config=Config(
                    connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    read_timeout=READ_TIMEOUT_SECONDS,
                    retries={"total_max_attempts": 1},
                    s3={"addressing_style": "path"} if custom else {},
                    # We send SHA-256 ourselves; trailing checksums confuse older servers.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    user_agent_extra="nanodex",
                ),
            )
        except (aws.BotoCoreError, ValueError) as error:
            raise self._persist.explained(error) from error

    @property
    def uri(self) -> str:
        """`s3://`, bucket and prefix."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def read(self, name: str, *, limit: int) -> bytes:
        """Return a whole object, see `ObjectStore.read`."""

        def attempt() -> bytes:
            answer = self._client.get_object(**self._at(name))
            expected = min(answer["ContentLength"], limit + 1)
            with answer["Body"] as body:
                data: bytes = body.read(expected)
            if len(data) < expected:
                raise aws.IncompleteReadError(actual_bytes=len(data), expected_bytes=expected)
            return data

        data = self._persist(attempt, name=name)
        if len(data) > limit:
            raise UserError(
                f"{name} is larger than {limit} bytes",
                reason=Reason.INVALID_INPUT,
                hint="It was not written by nanodex; remove it.",
            )
        return data

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield an object in chunks; a broken connection continues where it stopped."""
        reading = self._persist(lambda: Reading(self._client, self._at(name)), name=name)
        try:
            while not reading.finished:
                yield self._persist(reading.next_chunk, name=name)
        finally:
            reading.close()

    def write(self, name: str, data: bytes) -> None:
        """Create or replace an object."""
        self._put(name, data)

    def write_if_absent(self, name: str, data: bytes) -> bool:
        """Create an object unless there is one; True for exactly one of concurrent callers."""
        try:
            self._put(name, data, IfNoneMatch="*")
        except Taken:
            return False
        return True

    def upload(self, name: str, path: Path, *, sha256: str) -> None:
        """Create or replace an object from a file with this SHA-256.

        Up to 16 MiB in one request, above that in parts; each request carries its own SHA-256 and
        is retried alone.
        """
        size = path.stat().st_size
        with path.open("rb") as file:
            if size > _PART:
                part = max(_PART, math.ceil(size / _MAX_PARTS))
                self._upload_parts(name, path, iter(lambda: file.read(part), b""), sha256=sha256)
                return
            data = file.read()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise changed_while_read(path)
        self._put(name, data)

    def info(self, name: str) -> ObjectInfo | None:
        """Return size and time of an object."""

        def attempt() -> Any:
            try:
                return self._client.head_object(**self._at(name))
            except aws.ClientError as error:
                if not is_foreign(error):
                    raise
            # No answer to HEAD has a body that tells whose it is.
            answer = self._client.get_object(**self._at(name))
            answer["Body"].close()
            return answer

        try:
            head = self._persist(attempt, name=name)
        except ObjectMissing:
            return None
        return ObjectInfo(name, head["ContentLength"], head["LastModified"])

    def entries(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below `prefix`, which ends with a slash, sorted by name."""
        page: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        while True:
            answer = self._persist(lambda: self._client.list_objects_v2(**page), name=prefix)
            for each in answer.get("Contents", ()):
                name = each["Key"].removeprefix(self.prefix)
                yield ObjectInfo(name, each["Size"], each["LastModified"])
            if not answer.get("IsTruncated"):
                return
            page["ContinuationToken"] = answer["NextContinuationToken"]

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        self._persist(lambda: self._client.delete_object(**self._at(name)), name=name)

    def _reconnect(self) -> None:
        self._client.close()

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.prefix + name}

    def _put(self, name: str, data: bytes, **condition: str) -> None:
        checksum = _checksum(data)
        self._persist(
            lambda: self._client.put_object(
                **self._at(name), Body=data, ChecksumSHA256=checksum, **condition
            ),
            name=name,
        )

    def _upload_parts(self, name: str, path: Path, parts: Iterator[bytes], *, sha256: str) -> None:
        digest, size = hashlib.sha256(), 0
        started = self._persist(
            lambda: self._client.create_multipart_upload(
                **self._at(name), ChecksumAlgorithm="SHA256"
            ),
            name=name,
        )
        target = {**self._at(name), "UploadId": started["UploadId"]}
        done: list[dict[str, Any]] = []
        try:
            for number, data in enumerate(parts, start=1):
                digest.update(data)
                size += len(data)
                part = {"PartNumber": number, "ChecksumSHA256": _checksum(data)}

                def send(data: bytes = data, part: dict[str, Any] = part) -> Any:
                    return self._client.upload_part(**target, **part, Body=data)

                done.append({**part, "ETag": self._persist(send, name=name)["ETag"]})
            if digest.hexdigest() != sha256:
                raise changed_while_read(path)
            self._persist(lambda: self._complete(target, done, size=size), name=name)
        except BaseException:
            # One attempt: the bucket's own rule for unfinished uploads catches what is left.
            try:
                self._client.abort_multipart_upload(**target)
            except (aws.BotoCoreError, aws.ClientError) as error:
                _log.warning("an unfinished upload of %s is left behind: %s", name, error)
            raise

    def _complete(self, target: dict[str, str], parts: list[dict[str, Any]], *, size: int) -> None:
        try:
            self._client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except aws.ClientError as error:
            # Asked again after a lost answer: the upload is gone because it is complete.
            if code_of(error) != "NoSuchUpload":
                raise
            head = self._client.head_object(Bucket=target["Bucket"], Key=target["Key"])
            if head["ContentLength"] != size:
                raise


def _checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
