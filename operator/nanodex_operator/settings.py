"""The operator's settings, from its environment; the chart writes them."""

from typing import Self

from pydantic import Field, model_validator

from nanodex.api.base import Contract


class Settings(Contract):
    """What an administrator decides; each field is an environment variable NANODEX_<NAME>."""

    namespace: str = Field(description="The operator's own namespace.")
    watch_namespaces: tuple[str, ...] = Field(
        default=(), description="Namespaces that are watched; none: all."
    )
    store: str = Field(description="Where artifacts are kept, s3://bucket/prefix.")
    store_endpoint: str = Field(default="", description="URL of an S3 server other than AWS.")
    store_ca_config_map: str = Field(
        default="",
        description="ConfigMap with ca.crt of the store, in each namespace.",
    )
    nanodex_image: str = Field(description="Image of extract, brain, dataset and the agent.")
    trainer_image: str = Field(description="Image of train and evaluate.")
    engine_image: str = Field(default="", description="Image of vLLM where a server names none.")
    image_pull_policy: str = Field(default="IfNotPresent", description="Of all Pods.")
    image_pull_secrets: tuple[str, ...] = Field(default=(), description="Names of Secrets.")
    job_ttl_seconds: int = Field(default=3600, ge=60, description="How long finished Jobs stay.")
    resync_seconds: int = Field(default=600, ge=5, description="Between two looks without a cause.")
    concurrency: int = Field(default=8, ge=1, le=256, description="Reconciles at once.")
    metrics_port: int = Field(default=9090, ge=0, le=65535, description="Prometheus metrics.")

    @model_validator(mode="after")
    def _store_is_shared(self) -> Self:
        if not self.store.startswith("s3://"):
            raise ValueError("store must be s3://bucket/prefix: Pods share no folder")
        return self
