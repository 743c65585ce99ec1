"""Figures of extract, brain and dataset on real packages."""

import ast
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from measuring import (
    Measured,
    Prepared,
    measure,
    median_cpu_seconds,
    median_seconds,
    peak_megabytes,
    rate,
    repeat,
)

from nanodex.api.code_expert import BaseModelRef
from nanodex.api.parameters import BrainConfig, DatasetConfig, ExtractorConfig
from nanodex.api.progress import Silent
from nanodex.models import BaseModel, resolve_base_model

BUNDLED = BaseModelRef(uri="bundled://smollm2-135m-instruct")


def extraction(source: Path, out: Path, cache: Path | None) -> Prepared:
    """Prepare an extraction of the folder `source`."""
    from nanodex.extractor import extract
    from nanodex.source.folder import open_folder

    checkout = open_folder(source)

    def work() -> dict[str, Any]:
        metrics = extract(checkout, ExtractorConfig(), out=out, cache=cache, progress=Silent())
        return metrics.model_dump()

    return work


def plain_parse(source: Path) -> Prepared:
    """Prepare the comparison: Python's own parser over the same files, in one process."""
    files = sorted(source.rglob("*.py"))

    def work() -> dict[str, Any]:
        for file in files:
            ast.parse(file.read_bytes())
        return {"files": len(files)}

    return work


def summaries(graph: Path, out: Path, base_model: BaseModel) -> Prepared:
    """Prepare the brain of `graph`."""
    from nanodex.brain import build_brain
    from nanodex.models import token_counter

    count_tokens = token_counter(base_model.path / "tokenizer.json")

    def work() -> dict[str, Any]:
        build_brain(graph, BrainConfig(), out=out, count_tokens=count_tokens, progress=Silent())
        return {"nodes": count_lines(out / "nodes.jsonl")}

    return work


def examples(brain: Path, out: Path) -> Prepared:
    """Prepare the dataset of `brain`."""
    from nanodex.dataset import build_dataset

    def work() -> dict[str, Any]:
        build_dataset(brain, DatasetConfig(), out=out, progress=Silent())
        return {"examples": count_lines(out / "train.jsonl")}

    return work


def figures(source: Path, *, scratch: Path, repeats: int, base_model: BaseModel) -> dict[str, Any]:
    """Measure the three stages on the folder `source`."""
    graph, brain, dataset = scratch / "graph.sqlite", scratch / "brain", scratch / "dataset"
    cache = scratch / "records"
    clean = repeat(repeats, extraction, source, graph, None)
    measure(extraction, source, graph, cache)
    cached = repeat(repeats, extraction, source, graph, cache)
    parse = repeat(repeats, plain_parse, source)
    brains = [_fresh(brain, summaries, graph, brain, base_model) for _ in range(repeats)]
    datasets = [_fresh(dataset, examples, brain, dataset) for _ in range(repeats)]
    files, lines = _parsed(graph)
    return {
        "files": files,
        "lines": lines,
        "extract": {
            "filesPerSecond": rate(files, clean),
            "kiloLinesPerSecond": rate(lines / 1000, clean),
            "cpuSeconds": median_cpu_seconds(clean),
            "peakMegabytes": peak_megabytes(clean),
            "timesAstParse": round(median_seconds(clean) / median_seconds(parse), 2),
            "cachedFilesPerSecond": rate(files, cached),
        },
        "brain": {
            "summariesPerSecond": rate(brains[0].result["nodes"], brains),
            "cpuSeconds": median_cpu_seconds(brains),
            "peakMegabytes": peak_megabytes(brains),
        },
        "dataset": {
            "examples": datasets[0].result["examples"],
            "examplesPerSecond": rate(datasets[0].result["examples"], datasets),
            "cpuSeconds": median_cpu_seconds(datasets),
            "peakMegabytes": peak_megabytes(datasets),
        },
    }


def bundled_model(cache: Path) -> BaseModel:
    """Return the embedded base model; converting it takes a minute the first time."""
    return resolve_base_model(BUNDLED, cache=cache)


def count_lines(path: Path) -> int:
    """Count the lines of a JSONL file."""
    with path.open("rb") as lines:
        return sum(1 for line in lines if json.loads(line))


def _fresh(out: Path, prepare: Any, *arguments: Any) -> Measured:
    shutil.rmtree(out, ignore_errors=True)
    return measure(prepare, *arguments)


def _parsed(graph: Path) -> tuple[int, int]:
    connection = sqlite3.connect(f"file:{graph}?mode=ro", uri=True)
    try:
        row = connection.execute(
            "SELECT count(*), total(lines) FROM files WHERE status = 'parsed'"
        ).fetchone()
    finally:
        connection.close()
    return int(row[0]), int(row[1])
