"""The parameters of each stage, with their defaults; one model serves YAML, resource and code.

`config/*.yaml` shows the same defaults to people, and a test keeps the two equal.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nanodex.api.base import Contract, DecimalString, ShortString
from nanodex.api.rules import Rule, Ruled, Unique, number

Language = Literal["python", "java", "typescript", "javascript", "cpp"]
# vLLM allocates LoRA slots in these classes and refuses other ranks.
Rank = Literal[1, 8, 16, 32, 64, 128, 256, 320, 512]
Arm = Literal["base", "base+retrieval", "adapter", "adapter+retrieval"]


# A number with a fraction; a rule beside it names its interval.
Fraction = Annotated[str, Field(max_length=16)]


class ExtractorConfig(Contract):
    """Which files become the graph, and how much work one of them may cause."""

    languages: Annotated[tuple[Language, ...], Unique()] = Field(
        default=("python", "java", "typescript", "javascript", "cpp"),
        min_length=1,
        max_length=8,
        description="Languages to parse; files of others are counted and left out.",
    )
    max_file_bytes: int = Field(
        default=1 << 20, ge=1024, le=1 << 26, description="Larger files are skipped and recorded."
    )
    max_files: int = Field(
        default=200_000, ge=1, le=10_000_000, description="More files than this are refused."
    )
    file_timeout_seconds: int = Field(
        default=20, ge=1, le=600, description="Seconds of work that one file may take."
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=256,
        exclude=True,
        description="Parser processes; 0 is one for each core. Never part of a key.",
    )


class BrainConfig(Contract):
    """How long a summary may be."""

    max_tokens: int = Field(
        default=200,
        ge=32,
        le=2000,
        description="Tokens of a summary, by the base model's tokenizer.",
    )


class DatasetConfig(Contract):
    """What is asked about the graph, how often, and what is kept for the test."""

    seed: int = Field(default=17, ge=0, le=2**31 - 1, description="Seed of every choice.")
    max_examples: int = Field(default=20_000, ge=8, le=2_000_000, description="Training examples.")
    max_facts: int = Field(
        default=100_000, ge=1, le=1_000_000, description="Facts to train on, best covered first."
    )
    forms_per_fact: int = Field(
        default=8, ge=2, le=64, description="Wordings of one fact in the training set."
    )
    negatives_ratio: Annotated[Fraction, number("negativesRatio", "[0, 4]", example="0.5")] = Field(
        default="0.5", description="Questions about absent things for each question about a fact."
    )
    holdout_percent: int = Field(
        default=5, ge=0, le=50, description="Entities whose questions are kept for the test sets."
    )
    min_confidence: Annotated[Fraction, number("minConfidence", "[0, 1]", example="0.9")] = Field(
        default="0.9", description="Edges below this confidence are never taught, in [0, 1]."
    )


class LoraParameters(Contract):
    """Shape of the adapter; only what vLLM can serve."""

    r: Rank = Field(default=16, description="Rank.")
    alpha: int = Field(default=32, ge=1, le=1024, description="Scale is alpha / r.")
    dropout: Annotated[Fraction, number("dropout", "[0, 1)", example="0.05")] = Field(
        default="0", description="Dropout on the adapter's input, in [0, 1)."
    )
    target_modules: Literal["all-linear"] = Field(
        default="all-linear", description="Linear layers that get an adapter."
    )


class TrainingConfig(Ruled):
    """How the adapter is trained."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.batchSize % self.microBatchSize == 0",
            message="microBatchSize must divide batchSize",
            holds=lambda training: training.batch_size % training.micro_batch_size == 0,
        ),
    )

    method: Literal["lora", "qlora"] = Field(
        default="qlora", description="qlora: the base model in 4 bits (NF4)."
    )
    lora: LoraParameters = Field(default=LoraParameters(), description="Shape of the adapter.")
    epochs: int = Field(default=3, ge=1, le=1000, description="Passes over the training set.")
    learning_rate: Annotated[Fraction, number("learningRate", "(0, 0.01]", example="2e-4")] = Field(
        default="2e-4", description="Peak rate, in (0, 0.01]."
    )
    scheduler: Literal["cosine", "linear"] = Field(default="cosine", description="Decay to zero.")
    warmup_percent: int = Field(default=3, ge=0, le=50, description="Share of steps to warm up.")
    batch_size: int = Field(
        default=16, ge=1, le=4096, description="Examples in one optimizer step."
    )
    micro_batch_size: int = Field(
        default=8, ge=1, le=4096, description="Examples on the device at once; divides batchSize."
    )
    max_seq_length: int = Field(
        default=2048,
        ge=64,
        le=131_072,
        description="Tokens of an example; longer ones are dropped.",
    )
    checkpoint_steps: int = Field(
        default=200, ge=1, le=1_000_000, description="Steps between two checkpoints."
    )
    early_stopping_patience: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="Evaluations without a better held-out loss; 0 never stops.",
    )
    seed: int = Field(default=17, ge=0, le=2**31 - 1, description="Seed of shuffling and weights.")
    parity_prompts: int = Field(
        default=6, ge=1, le=64, description="Prompts stored with log-probabilities for the server."
    )


class EvaluationConfig(Ruled):
    """What is asked of base model and adapter."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="'adapter' in self.arms && (!self.mustBeatBase || 'base' in self.arms)",
            message="arms must hold adapter, and base unless mustBeatBase is false",
            holds=lambda judged: (
                "adapter" in judged.arms and (not judged.must_beat_base or "base" in judged.arms)
            ),
        ),
    )

    arms: Annotated[tuple[Arm, ...], Unique()] = Field(
        default=("base", "base+retrieval", "adapter", "adapter+retrieval"),
        max_length=4,
        description="Who answers.",
    )
    max_questions: int = Field(
        default=400,
        ge=8,
        le=1_000_000,
        description="Questions of one test set, drawn with the seed.",
    )
    max_new_tokens: int = Field(default=64, ge=8, le=1024, description="Tokens of one answer.")
    bootstrap_samples: int = Field(
        default=1000, ge=100, le=100_000, description="Resamples behind a confidence interval."
    )
    seed: int = Field(
        default=17, ge=0, le=2**31 - 1, description="Seed of the draws and resamples."
    )
    min_score: Annotated[Fraction, number("minScore", "[0, 1]", example="0.60")] = Field(
        default="0.60", description="Lowest recall of trained facts that passes the gate."
    )
    must_beat_base: bool = Field(
        default=True, description="The adapter's interval must lie above the base model's."
    )


class InferenceConfig(Contract):
    """The engine and the agent in front of it."""

    host: ShortString = Field(default="127.0.0.1", description="Address the agent listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port of the agent; 0 takes any.")
    max_model_len: int = Field(default=2048, ge=128, description="Tokens of context.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="auto: bfloat16 on a GPU, float32 on a CPU."
    )
    max_rank: Rank = Field(default=32, description="Highest rank that can be loaded.")
    max_loaded: int = Field(default=8, ge=1, le=256, description="Adapters on the device at once.")
    sync_seconds: DecimalString = Field(
        default="2", description="Seconds between two looks at the engine."
    )
    parity_limit_fp32: DecimalString = Field(
        default="0.005", description="Mean |difference| of log-probabilities, float32 engine."
    )
    parity_limit_bf16: DecimalString = Field(
        default="0.12", description="The same for a bfloat16 engine."
    )
    start_timeout_seconds: int = Field(
        default=600, ge=10, description="Seconds the engine may take until it is healthy."
    )
