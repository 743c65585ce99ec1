"""The operator's settings, from its environment; the chart writes them."""

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import Field, ValidationError, model_validator

from nanodex.api.base import Contract


class WrongSettings(Exception):
    """The operator cannot start; `problems` names each variable and what is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Settings(Contract):
    """What an administrator decides; each field is an environment variable NANODEX_<NAME>."""

    namespace: str = Field(description="The operator's own namespace.")
    identity: str = Field(
        default="",
        max_length=253,
        description="Name of this replica's Pod, which a restart keeps and no other has; empty: "
        "made up.",
    )
    watch_namespaces: tuple[str, ...] = Field(
        default=(), description="Namespaces that are watched; none: all."
    )
    store: str = Field(description="Where artifacts are kept, s3://bucket/prefix.")
    store_endpoint: str = Field(default="", description="URL of an S3 server other than AWS.")
    store_ca_config_map: str = Field(
        default="",
        description="ConfigMap with ca.crt of the store, in each namespace.",
    )
    store_ports: tuple[str, ...] = Field(
        default=(),
        description="Ports of the store as its Pods have them; none: the one of store_endpoint.",
    )
    server_store_secret: str = Field(
        default="nanodex-s3",
        description="Secret in the operator's namespace with which model servers read the store.",
    )
    nanodex_image: str = Field(description="Image of extract, brain, dataset and the agent.")
    trainer_image: str = Field(description="Image of train and evaluate.")
    engine_image: str = Field(default="", description="Image of vLLM where a server names none.")
    image_pull_policy: str = Field(default="IfNotPresent", description="Of all Pods.")
    image_pull_secrets: tuple[str, ...] = Field(default=(), description="Names of Secrets.")
    job_ttl_seconds: int = Field(default=3600, ge=60, description="How long finished Jobs stay.")
    resync_seconds: int = Field(default=600, ge=5, description="Between two looks without a cause.")
    concurrency: int = Field(default=8, ge=1, le=256, description="Reconciles at once.")
    token_reviews: str = Field(
        default="",
        description="Address of the component that reviews tokens for agents; empty: keys alone.",
    )
    metrics_port: int = Field(default=9090, ge=0, le=65535, description="Of /metrics.")
    health_port: int = Field(default=8080, ge=0, le=65535, description="Of /healthz.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read NANODEX_<NAME> of each field; lists are separated by commas, empty is absent.

        Raises:
            WrongSettings: a variable is missing or wrong.
        """
        found: dict[str, str | list[str]] = {}
        for name, field in cls.model_fields.items():
            text = environment.get(f"NANODEX_{name.upper()}", "").strip()
            if not text:
                continue
            if field.annotation == tuple[str, ...]:
                found[name] = [part.strip() for part in text.split(",") if part.strip()]
            else:
                found[name] = text
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            names = {field.alias: name for name, field in cls.model_fields.items()}
            problems = []
            for one in error.errors(include_url=False):
                place = str(one["loc"][0]) if one["loc"] else "store"
                problems.append(f"NANODEX_{names.get(place, place).upper()}: {one['msg']}")
            raise WrongSettings(problems) from None

    @model_validator(mode="after")
    def _store_is_shared(self) -> Self:
        if not self.store.startswith("s3://"):
            raise ValueError("store must be s3://bucket/prefix: Pods share no folder")
        return self
