"""The lines of the JSONL artifacts: stages never import one another, they meet in these records."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from nanodex.api.base import Contract, DecimalString
from nanodex.api.parameters import Arm


class NodeType(StrEnum):
    """Semantic type of a node, decided by the brain's rules."""

    MODULE = "module"
    CAPABILITY = "capability"
    CONCEPT = "concept"
    ERROR = "error"
    RECIPE = "recipe"


class NodeRecord(Contract):
    """One line of nodes.jsonl: a first-party node of the graph with its meaning."""

    id: int = Field(description="nodes.id in graph.sqlite.")
    qualified_name: str
    kind: str
    type: NodeType
    rule: str = Field(description="Name of the rule that decided the type.")
    evidence: str = Field(description="What the rule saw, for people.")
    summary: str = Field(description="True by construction, at most brain.maxTokens tokens.")


class Span(Contract):
    """Bytes of a source file: `content[start:end]`, lines counted from 1."""

    path: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    line: int = Field(ge=1)


class Predicate(StrEnum):
    """What a fact says about its subject."""

    DEFINED_AT = "defined_at"
    KIND = "kind"
    SIGNATURE = "signature"
    PARAMETER = "parameter"
    RETURNS = "returns"
    RAISES = "raises"
    CALLS = "calls"
    CALLED_BY = "called_by"
    IMPORTS = "imports"
    EXTENDS = "extends"
    IMPLEMENTS = "implements"
    OVERRIDES = "overrides"
    VALUE = "value"
    DOCSTRING = "docstring"
    TESTED_BY = "tested_by"
    READS_ENV = "reads_env"
    ROUTE = "route"


class Fact(Contract):
    """One line of facts.jsonl: something that the source proves at `span`."""

    id: str = Field(description="First 16 hexadecimal digits of the SHA-256 of what it says.")
    subject: str = Field(description="Qualified name.")
    predicate: Predicate
    object: str = Field(description="What an answer must name.")
    span: Span
    blob: str = Field(description="SHA-256 of the file that the span lies in.")
    rule: str = Field(description="Rule of the edge or of the parser that proved it.")
    conf: DecimalString


class Message(Contract):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


Category = Literal["discovery", "explain", "howto", "diagnostics", "composition"]
Polarity = Literal["positive", "negative"]
Genre = Literal["question", "reverse", "cloze", "list", "flow", "comparison", "code"]


class ExampleMeta(Contract):
    """Where an example comes from; enough to prove its answer again."""

    id: str
    category: Category
    predicate: Predicate
    polarity: Polarity
    facts: tuple[str, ...] = Field(description="Ids of the facts it states; empty for a negative.")
    spans: tuple[Span, ...]
    template: str
    genre: Genre
    split: Literal["train", "validation", "test"]


class Example(Contract):
    """One line of train.jsonl and validation.jsonl: system, user, assistant."""

    messages: tuple[Message, ...] = Field(min_length=2, max_length=3)
    meta: ExampleMeta


class TestSet(StrEnum):
    """What a question tests."""

    # pytest would take a class of this name, imported into a test, for one of tests.
    __test__ = False

    TRAINED = "T1"
    TEXT_ONLY = "T2"
    TWO_HOP = "T3"
    ABSENT = "T4"
    HELD_OUT = "T5"
    GENERAL = "T6"


class Expected(Contract):
    """How an answer is scored without a judge.

    contains: every one of `values` stands in the answer as a whole word; set: F1 over `values`;
    absent: the answer says that the thing does not exist and asserts no fact about it;
    continuation: loss on `values[0]` as the answer.
    """

    kind: Literal["contains", "set", "absent", "continuation"]
    values: tuple[str, ...]


class Question(Contract):
    """One line of questions.jsonl."""

    id: str
    test_set: TestSet
    entity: str = Field(description="Qualified name; intervals resample entities, not questions.")
    predicate: Predicate | None = None
    messages: tuple[Message, ...] = Field(description="System and user; the answer is not here.")
    reference: str = Field(description="The answer as the dataset would word it.")
    expected: Expected
    template: str = ""


class DatasetCard(Contract):
    """dataset.json: what the dataset is, and the system message every example starts with."""

    system: str = Field(description="System message of every example; serving adds it too.")
    repository: str
    snapshot: str = Field(description="First 12 digits of the digest of the learned files.")
    facts: int
    examples: int
    counts: dict[str, dict[str, int]] = Field(description="Examples by category, polarity, genre.")
    dropped: dict[str, int] = Field(description="Examples or facts left out, by reason.")
    licences: dict[str, str] = Field(default={}, description="Licence files found, by path.")


class Interval(Contract):
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    questions: int


class SetResult(Contract):
    """How one arm did on one test set."""

    arm: Arm
    test_set: TestSet
    metric: str
    score: Interval


class EvaluationReport(Contract):
    """evaluation.json."""

    results: tuple[SetResult, ...]
    unknown_symbols: dict[str, float] = Field(
        description="Share of symbols in the answers that the graph does not know, by arm."
    )
    passed: bool
    score: float = Field(description="Recall of trained facts by the adapter, 0 to 1.")
    reason: str = ""


class Answer(Contract):
    """One line of answers.jsonl: what an arm said, and its score."""

    question: str = Field(description="Id of the question.")
    arm: Arm
    text: str
    score: float


class ParityPrompt(Contract):
    """A prompt with the log-probability of each of its tokens, as the trainer computed them.

    `logprobs[i]` belongs to `tokens[i + 1]` given `tokens[: i + 1]`; natural logarithm, float32.
    """

    tokens: tuple[int, ...] = Field(min_length=2)
    logprobs: tuple[float, ...]
    base_logprobs: tuple[float, ...] = Field(description="The same of the base model alone.")


class AdapterCard(Contract):
    """adapter/nanodex.json: what a server must know of an adapter before it loads it."""

    repository: str
    system: str = Field(description="System message that the adapter was trained with.")
    base_model: str
    base_model_revision: str
    rank: int
    parity: tuple[ParityPrompt, ...]


class CurvePoint(Contract):
    """One optimizer step: mean loss (nats a learned token), rate and norm of the gradient."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float


class HeldOutPoint(Contract):
    """A look at the held-out examples (nats a token)."""

    step: int
    loss: float


class TrainingRecord(Contract):
    """training.json: how the loss fell. It holds no times, so that equal runs give equal bytes."""

    steps: int
    examples: int
    dropped: int
    epochs: int
    shared_prefix_tokens: int
    curve: tuple[CurvePoint, ...]
    held_out: tuple[HeldOutPoint, ...]
