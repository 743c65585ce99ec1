"""`make demo`: a commit becomes an expert that answers, on this machine, in front of your eyes.

Nothing here is special to the demo but its source: the repository below config/samples is made
into a git commit (always the same one, so a second run finds every artifact), then the same
functions run that `nanodex run` and `nanodex serve` call.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from nanodex.api.parameters import InferenceConfig
from nanodex.api.records import Predicate, Question, TestSet
from nanodex.api.stages import StageName
from nanodex.artifacts import ObjectStore, open_store
from nanodex.cli.output import as_json, console, errors, reports_errors
from nanodex.cli.run import print_report, read_expert
from nanodex.cli.serving import served
from nanodex.cli.waiting import shown_steps
from nanodex.config import config_folder
from nanodex.inference import ServerInfo, ask, start_detached
from nanodex.models import resolve_base_model
from nanodex.pipeline import RunReport, Workspace, run_expert, shown, stop_on_signals
from nanodex.report import build_report

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".demo"
CACHE = ROOT / ".cache"
# One fact of each kind; the rest of the five comes from what there is.
ASKED = (
    Predicate.DEFINED_AT,
    Predicate.RAISES,
    Predicate.EXTENDS,
    Predicate.CALLS,
    Predicate.VALUE,
)


def commit_sample() -> Path:
    """Make config/samples/parcelry into a git repository with one commit; return its folder."""
    repository = WORK / "parcelry"
    shutil.rmtree(repository, ignore_errors=True)
    shutil.copytree(
        config_folder() / "samples" / "parcelry",
        repository,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    when = "2026-01-01T00:00:00Z"
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": when,
        "GIT_COMMITTER_DATE": when,
    }
    who = ["-c", "user.name=parcelry", "-c", "user.email=parcelry@example.com"]
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        [*who, "commit", "--quiet", "--message=Parcel rates, quotes, labels and tracking"],
    ):
        subprocess.run(["git", *command], cwd=repository, env=environment, check=True)
    return repository


def pick_questions(dataset: Path) -> list[Question]:
    """Return five questions: facts in wordings that training never saw, and one absent thing."""
    lines = (dataset / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [Question.model_validate_json(line) for line in lines]
    trained = [one for one in questions if one.test_set is TestSet.TRAINED]
    picked: list[Question] = []
    for predicate in ASKED:
        picked += [one for one in trained if one.predicate is predicate][:1]
    absent = [one for one in questions if one.expected.kind == "absent"]
    return (picked + [one for one in trained if one not in picked])[:4] + absent[:1]


def ask_both(info: ServerInfo, expert: str, questions: list[Question]) -> Table:
    """Ask base model and expert over HTTP and return the answers side by side."""
    table = Table(title="The same questions, asked of both", title_justify="left", show_lines=True)
    table.add_column("question", ratio=3)
    table.add_column("base model", ratio=3)
    table.add_column(expert, ratio=3)
    for question in questions:
        system, user = question.messages[0].content, question.messages[-1].content
        base = "".join(ask(info.url, "base", user, system=system, max_tokens=48))
        answer = "".join(ask(info.url, expert, user, max_tokens=48))
        table.add_row(escape(user), escape(_shortened(base)), escape(_shortened(answer)))
    return table


def _shortened(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= 160 else one_line[:159] + "…"


def write_page(report: RunReport, *, store: ObjectStore) -> Path:
    """Write the report page of the run."""
    workspace = Workspace(CACHE)
    folders = {
        name: workspace.artifact(report.stage(name).manifest, store=store) for name in StageName
    }
    return build_report(
        extract=folders[StageName.EXTRACT],
        brain=folders[StageName.BRAIN],
        dataset=folders[StageName.DATASET],
        train=folders[StageName.TRAIN],
        evaluation=folders[StageName.EVALUATE],
        out=WORK / "report.html",
    )


def recall(report: RunReport, arm: str, test_set: TestSet) -> float | None:
    """Return the mean score of an arm on a test set."""
    for one in report.evaluation.results:
        if one.arm == arm and one.test_set is test_set:
            return round(one.score.mean, 3)
    return None


@reports_errors
def main() -> None:
    """Run the demo."""
    begin = time.monotonic()
    WORK.mkdir(exist_ok=True)
    repository = commit_sample()
    expert = read_expert(config_folder() / "samples" / "demo.yaml", repository=repository)
    store = open_store(str(WORK / "artifacts"))
    errors.print(
        f"repository {repository.relative_to(ROOT)}, base model {expert.spec.base_model.uri}"
    )
    with stop_on_signals() as stop:
        started = time.monotonic()
        base_model = resolve_base_model(expert.spec.base_model, cache=CACHE)
        model_seconds = time.monotonic() - started
        report = run_expert(expert, store=store, cache=CACHE, stop=stop, display=shown())
        pipeline_seconds = time.monotonic() - started
        adapter = served(expert, store=store, cache=CACHE)
        started = time.monotonic()
        with shown_steps(stop) as progress:
            info = start_detached(
                InferenceConfig(port=int(os.environ.get("NANODEX_DEMO_PORT", "8000"))),
                base_model=base_model.path,
                experts=[adapter],
                state=WORK / "server",
                progress=progress,
            )
        serve_seconds = time.monotonic() - started
    dataset = Workspace(CACHE).artifact(report.stage(StageName.DATASET).manifest, store=store)
    questions = pick_questions(dataset)
    console.print(ask_both(info, expert.model_name, questions))
    print_report(report)
    page = write_page(report, store=store)
    console.print(f"\nreport: {page.relative_to(ROOT)}")
    console.print(f"serving at [bold]{info.url}/v1[/]; stop it with `make demo-stop`; try:\n")
    request = as_json(
        {
            "model": expert.model_name,
            "messages": [{"role": "user", "content": questions[0].messages[-1].content}],
            "temperature": 0,
        }
    )
    console.print(
        f"curl -s {info.url}/v1/chat/completions -H 'Content-Type: application/json' "
        f"-d {shlex.quote(request)}\n",
        markup=False,
        soft_wrap=True,
    )
    counts = report.stage(StageName.DATASET).manifest.metrics
    figures: dict[str, Any] = {
        "seconds": {
            **{
                result.stage.value: 0 if result.cached else round(result.seconds, 1)
                for result in report.stages
            },
            "baseModel": round(model_seconds, 1),
            "pipeline": round(pipeline_seconds, 1),
            "serve": round(serve_seconds, 1),
            "total": round(time.monotonic() - begin, 1),
        },
        "facts": counts["factsTrained"],
        "examples": counts["train"],
        "recall": {arm: recall(report, arm, TestSet.TRAINED) for arm in ("base", "adapter")},
        "absent": {arm: recall(report, arm, TestSet.ABSENT) for arm in ("base", "adapter")},
        "passed": report.evaluation.passed,
        "digest": adapter.digest,
    }
    sys.stdout.write(as_json(figures) + "\n")


if __name__ == "__main__":
    main()
