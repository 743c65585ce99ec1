"""Reads what a person wrote: a CodeExpert, or the parameters of one stage, from a YAML file.

Every mistake becomes one `UserError` that names the file, the field and what to do. The file is
input like any other: limited in size, no tags, no aliases (a few bytes of them can mean
gigabytes), no key twice.
"""

import difflib
import os
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nanodex.api.base import Contract
from nanodex.api.code_expert import CodeExpert
from nanodex.api.parameters import (
    BrainConfig,
    DatasetConfig,
    EvaluationConfig,
    ExtractorConfig,
    InferenceConfig,
    TrainingConfig,
)
from nanodex.api.reasons import Reason
from nanodex.errors import UserError

MAX_BYTES = 1 << 20

# The files of config/ and what each of them shows.
CONFIG_MODELS: dict[str, type[Contract]] = {
    "extract.yaml": ExtractorConfig,
    "brain.yaml": BrainConfig,
    "dataset.yaml": DatasetConfig,
    "train_qlora.yaml": TrainingConfig,
    "train_lora.yaml": TrainingConfig,
    "evaluate.yaml": EvaluationConfig,
    "inference.yaml": InferenceConfig,
}
_SHOWN_ERRORS = 3

Model = TypeVar("Model", bound=BaseModel)


def load_expert(path: Path) -> CodeExpert:
    """Read a CodeExpert from the YAML file `path`.

    Raises:
        UserError: there is no such file, it is not YAML, or a field is wrong.
    """
    return load_config(CodeExpert, path)


def load_config(model: type[Model], path: Path | None) -> Model:
    """Read the YAML file `path` as a `model`, for instance a `TrainingConfig`.

    Without a file the result is the model's defaults.

    Raises:
        UserError: there is no such file, it is not YAML, or a field is wrong.
    """
    if path is None:
        return parse_config(b"", model, origin="defaults")
    return parse_config(_read(path), model, origin=path.name)


def parse_config(content: bytes, model: type[Model], *, origin: str) -> Model:
    """Read YAML as a `model`; `origin` is what messages call it.

    Raises:
        UserError: the content is not YAML, or a field is wrong.
    """
    data = _parse(content, origin=origin)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise _invalid(
            f"{origin}: expected fields, found {type(data).__name__}",
            hint=f"Write one `field: value` on each line; the fields of {model.__name__} "
            "are in docs/write-a-codeexpert.md.",
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _describe(error, model, origin=origin) from None


def config_folder() -> Path:
    """Return the folder that holds the files of `CONFIG_MODELS` and `samples/`.

    It lies inside the package once nanodex is installed, and beside it in a checkout.
    """
    package = Path(__file__).resolve().parent
    installed = package / "_config"
    return installed if installed.is_dir() else package.parent / "config"


def default_cache() -> Path:
    """Where things are kept that may be lost: `$XDG_CACHE_HOME/nanodex` or `~/.cache/nanodex`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nanodex"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _invalid(f"{path}: no such file", hint="Check the path.") from None
    except OSError as error:
        raise _invalid(f"{path}: {error.strerror}", hint="Name a readable YAML file.") from None
    if len(content) > MAX_BYTES:
        raise _invalid(
            f"{path.name}: larger than {MAX_BYTES} bytes", hint="Is this the file you meant?"
        )
    return content


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, without aliases and without repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases."""
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice: one of the two values would be ignored silently."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # The base class refuses it.
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _parse(content: bytes, *, origin: str) -> Any:
    try:
        return yaml.load(content.decode("utf-8"), Loader=_StrictLoader)
    except UnicodeDecodeError:
        raise _invalid(f"{origin}: not UTF-8 text", hint="Save the file as UTF-8.") from None
    except RecursionError:
        raise _invalid(f"{origin}: nested too deeply", hint="Is this the file you meant?") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise _invalid(
            f"{origin}: {place}{what}",
            hint="Correct the YAML at that place.",
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: a date or number that looks right and is none, such as 2026-13-45.
        first_line = str(error).splitlines()[0]
        raise _invalid(f"{origin}: {first_line}", hint="Correct the YAML.") from None


def _describe(error: ValidationError, model: type[BaseModel], *, origin: str) -> UserError:
    details = error.errors(include_url=False)
    shown = "; ".join(f"{_path(item)}: {_what(item)}" for item in details[:_SHOWN_ERRORS])
    if len(details) > _SHOWN_ERRORS:
        shown += f"; and {len(details) - _SHOWN_ERRORS} more"
    return _invalid(f"{origin}: {shown}", hint=_hint(details[0], model))


def _path(item: ErrorDetails) -> str:
    return ".".join(str(part) for part in item["loc"]) or "the whole"


def _what(item: ErrorDetails) -> str:
    if item["type"] == "extra_forbidden":
        return "there is no such field"
    if item["type"] == "missing":
        return "is required"
    text = item["msg"].removeprefix("Value error, ")
    # Strings are not repeated: one of them may be an address with a password.
    given = item["input"]
    return f"{text} (found {given})" if isinstance(given, bool | int | float) else text


def _hint(item: ErrorDetails, model: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        known = _fields_at(model, item["loc"][:-1])
        close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        if close:
            return f"Did you mean {close[0]}?"
        return f"Known fields here: {', '.join(known)}." if known else "Remove it."
    if item["type"] == "missing":
        return f"Add {_path(item)}."
    if item["type"] == "string_type" and isinstance(item["input"], int | float):
        return "Put the value in quotes: numbers with a fraction travel as strings."
    return "Correct the field; docs/write-a-codeexpert.md describes each."


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model that `location` leads to; empty if it leads to none."""
    current: Any = model
    for part in location:
        found = next((f for f in current.model_fields.values() if f.alias == part), None)
        current = found.annotation if found else None
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _invalid(message: str, *, hint: str) -> UserError:
    return UserError(message, reason=Reason.INVALID_INPUT, hint=hint)
