"""Renders the page: everything that came from a repository or a model is escaped text, no more."""

import base64
import hashlib
import os
import re
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from nanodex.api.records import (
    AdapterCard,
    Answer,
    DatasetCard,
    EvaluationReport,
    Example,
    NodeRecord,
    Question,
    TestSet,
    TrainingRecord,
)
from nanodex.graph.reader import load_graph
from nanodex.report.dataset_view import view_dataset
from nanodex.report.evaluation_view import view_evaluation
from nanodex.report.graph_view import view_graph
from nanodex.report.reading import read_record, read_records
from nanodex.report.training_view import view_training


def build_report(
    *, extract: Path | None, brain: Path, dataset: Path, train: Path, evaluation: Path, out: Path
) -> Path:
    """Write one HTML page about a run to `out` and return its path.

    Args:
        extract: folder of the extract stage; None: the files are counted in the brain's graph.
        brain: folder of the brain stage.
        dataset: folder of the dataset stage.
        train: folder of the train stage.
        evaluation: folder of the evaluate stage.
        out: the page; an existing one is replaced, as a whole or not at all.

    Raises:
        UserError: an artifact is missing or is not what its stage writes.
    """
    graph = load_graph(brain / "graph.sqlite")
    questions = list(read_records(dataset / "questions.jsonl", Question))
    page = render(
        graph=view_graph(
            load_graph(extract / "graph.sqlite") if extract else graph,
            graph,
            read_records(brain / "nodes.jsonl", NodeRecord),
        ),
        dataset=view_dataset(
            read_record(dataset / "dataset.json", DatasetCard),
            read_records(dataset / "train.jsonl", Example),
            questions,
        ),
        training=view_training(read_record(train / "training.json", TrainingRecord)),
        adapter=read_record(train / "adapter" / "nanodex.json", AdapterCard),
        evaluation=view_evaluation(
            read_record(evaluation / "evaluation.json", EvaluationReport),
            questions,
            read_records(evaluation / "answers.jsonl", Answer),
        ),
        trained=TestSet.TRAINED,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(out.name + ".tmp")
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, out)
    return out


def render(**views: object) -> str:
    """Return the page as HTML, with a policy that allows its own style sheet and nothing else."""
    style = resources.files("nanodex.report").joinpath("page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _template().render(style=Markup(style), style_digest=digest, **views)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("nanodex.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "figure": _figure,
        "number": _number,
        "prose": _prose,
    }
    return environment.get_template("page.html.j2")


def _visible(value: object) -> object:
    """Show characters that would hide or reorder what stands around them."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    kept = "\n\t\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
    return "".join(
        c if c.isprintable() or c in kept else "\N{REPLACEMENT CHARACTER}" for c in value
    )


def _prose(text: str) -> Markup:
    """Set what stands in backticks as code; all of it stays escaped."""
    parts = re.split(r"`([^`\n]+)`", str(_visible(text)))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else part
        for index, part in enumerate(parts)
    )


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %" if value in (0.0, 1.0) else f"{100 * value:.1f} %"


def _figure(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.3g}"


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
