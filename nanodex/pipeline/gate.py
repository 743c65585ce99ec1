"""The evaluation gate: a run whose adapter is below its threshold ends with BelowThreshold."""

from pathlib import Path

from pydantic import ValidationError

from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.records import EvaluationReport, SetResult
from nanodex.errors import UserError

EVALUATION = "evaluation.json"


def read_evaluation(folder: Path) -> EvaluationReport:
    """Return the report in the folder of an evaluate artifact.

    Raises:
        UserError: the report is not one.
    """
    try:
        return EvaluationReport.model_validate_json((folder / EVALUATION).read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{EVALUATION} cannot be read: {type(error).__name__}",
            reason=Reason.INVALID_INPUT,
            hint="It was written by another version of nanodex: discard the artifact.",
        ) from error


def require_passed(report: EvaluationReport) -> None:
    """Raise where the adapter did not pass.

    Raises:
        UserError: BelowThreshold (exit 15), with the scores.
    """
    if report.passed:
        return
    scores = ", ".join(_score(result) for result in report.results[:8])
    raise UserError(
        f"the adapter did not pass: {report.reason or 'below the threshold'} "
        f"(score {report.score:.2f}; {scores})",
        reason=Reason.BELOW_THRESHOLD,
        hint="Train longer (training.epochs), on fewer facts (dataset.maxFacts) or lower "
        "evaluation.minScore; the evaluation is kept, see `nanodex report`.",
        exit_code=ExitCode.BELOW_THRESHOLD,
    )


def _score(result: SetResult) -> str:
    score = result.score
    return f"{result.arm} {result.test_set} {score.mean:.2f} [{score.low:.2f}, {score.high:.2f}]"
