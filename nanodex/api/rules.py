"""Rules that two judges keep: pydantic wherever a resource is read, the API server at `apply`.

Each rule is written once: in Python, in CEL beside it, and with the one sentence that both judges
say. The CRDs are generated from the models (nanodex.api.structural), so the CEL travels with them;
a test asks both judges about the same resources.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from nanodex.api.base import Contract
from nanodex.api.durations import duration_seconds

VALIDATIONS = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"

# What Python's float() and CEL's double() read alike; nothing infinite fits into it.
_NUMBER = r"[0-9]{1,9}([.][0-9]{1,9})?([eE][+-]?[0-9]{1,2})?"
_DURATION = r"([0-9]{1,5}[hms]){1,3}"
_INTERVAL = re.compile(r"([\[(])([0-9.]+), ([0-9.]+)([\])])")


@dataclass(frozen=True)
class Rule:
    """A rule about a value; in `Annotated` about a field, in `Ruled.rules` about a whole model.

    Attributes:
        cel: the rule in CEL; `self` is the value.
        message: what must be, with the field's name, and what to do.
        holds: the same rule in Python.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]

    def checked(self, value: Any) -> Any:
        """Return `value`.

        Raises:
            ValueError: the rule does not hold.
        """
        if not self.holds(value):
            raise ValueError(self.message)
        return value

    def as_validation(self) -> dict[str, str]:
        """Return the rule as an item of x-kubernetes-validations."""
        return {"rule": self.cel, "message": self.message}

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Check the value after its type."""
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Carry the rule into the JSON schema."""
        described = handler(schema)
        described.setdefault(VALIDATIONS, []).append(self.as_validation())
        return described


class Ruled(Contract):
    """A model with rules about several of its fields together."""

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        for rule in self.rules:
            rule.checked(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Carry the rules into the JSON schema."""
        described = handler(schema)
        if cls.rules:
            validations = [rule.as_validation() for rule in cls.rules]
            handler.resolve_ref_schema(described)[VALIDATIONS] = validations
        return described


class ListMap:
    """A list whose items are told apart by some of their fields, for server-side apply.

    Args:
        keys: names of these fields.
    """

    def __init__(self, *keys: str) -> None:
        self._keys = keys

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Carry it into the JSON schema."""
        return handler(schema) | {LIST_TYPE: "map", LIST_MAP_KEYS: [*self._keys]}


class Unique:
    """A list in which nothing stands twice."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Check the list after its items."""
        return core_schema.no_info_after_validator_function(_each_once, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Carry it into the JSON schema; the API server has a message of its own."""
        return handler(schema) | {LIST_TYPE: "set"}


def matches(pattern: str, message: str) -> Rule:
    """Return the rule that the whole of a text matches `pattern`.

    Python's `re` and Go's RE2 must read the pattern alike: no look-around, no back-reference, no
    class that is Unicode in one and ASCII in the other (digits, words, spaces), no quote.
    """
    compiled = re.compile(pattern)
    return Rule(
        cel=f"self.matches(r'^(?:{pattern})$')",
        message=message,
        holds=lambda text: compiled.fullmatch(text) is not None,
    )


def number(name: str, interval: str, *, example: str) -> Rule:
    """Return the rule that a text is a number in `interval`, for instance `(0, 0.01]`.

    Raises:
        ValueError: `interval` is none.
    """
    parts = _INTERVAL.fullmatch(interval)
    if parts is None:
        raise ValueError(f"{interval!r} is no interval")
    opened, low, high, closed = parts.groups()
    above, below = {"[": ">=", "(": ">"}[opened], {"]": "<=", ")": "<"}[closed]

    def holds(text: str) -> bool:
        if re.fullmatch(_NUMBER, text) is None:
            return False
        value, least, most = float(text), float(low), float(high)
        low_enough = value <= most if below == "<=" else value < most
        return low_enough and (value >= least if above == ">=" else value > least)

    return Rule(
        cel=f"self.matches(r'^{_NUMBER}$') && double(self) {above} {float(low)} "
        f"&& double(self) {below} {float(high)}",
        message=f'{name} must be a number in {interval}, for instance "{example}"',
        holds=holds,
    )


def at_least(shortest: str, *, name: str) -> Rule:
    """Return the rule that a text is a duration of `shortest` or more."""
    least = duration_seconds(shortest)

    def holds(text: str) -> bool:
        return re.fullmatch(_DURATION, text) is not None and duration_seconds(text) >= least

    return Rule(
        cel=f"self.matches(r'^{_DURATION}$') && duration(self) >= duration('{shortest}')",
        message=f"{name} must be {shortest} or more in hours, minutes and seconds, for instance "
        "1h30m",
        holds=holds,
    )


def _each_once(values: Any) -> Any:
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{value!r} stands twice")
        seen.add(value)
    return values
