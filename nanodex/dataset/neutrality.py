"""The gate against templates that tell the polarity: who has seen the question must read the name.

Were a wording asked of absent things only, a model would learn to deny by the wording.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction

from nanodex.api.reasons import Reason
from nanodex.api.records import Example, Polarity
from nanodex.errors import UserError

# A classifier that sees the template alone must stay below this area under the ROC curve.
_HIGHEST_AUC = 0.55
# Fewer examples than these do not show a template's share of negatives.
_FEWEST_TO_JUDGE = 6
_PERMUTATIONS = 99
# A small repository has few plausible names that it lacks, so a wording may get too many of them.
# More than this share of the examples is no accident of a few.
_MOST_TO_LEAVE_OUT = Fraction(1, 20)


def neutral(examples: list[Example]) -> list[Example]:
    """Return the examples without those few that make a template tell the polarity.

    Args:
        examples: of all splits; only what is trained is judged and left out.

    Raises:
        UserError: too many would have to go.
    """
    trained = [example for example in examples if example.meta.split == "train"]
    if not templates_tell(trained):
        return examples
    left_out: set[str] = set()
    most = int(len(trained) * _MOST_TO_LEAVE_OUT)
    while (auc := template_auc(trained)) >= _HIGHEST_AUC:
        if len(left_out) == most:
            raise UserError(
                f"templates tell the polarity: AUC {auc:.3f}, allowed is less than {_HIGHEST_AUC}",
                reason=Reason.NOTHING_TO_LEARN,
                hint="raise dataset.maxFacts or dataset.formsPerFact, or widen source.git.include",
            )
        surplus = _surplus(trained)
        left_out.add(surplus.meta.id)
        trained = [example for example in trained if example is not surplus]
    return [example for example in examples if example.meta.id not in left_out]


def _surplus(examples: Sequence[Example]) -> Example:
    """Return the last example of the polarity that most exceeds its share in one template."""
    share = _share(examples)
    judged = defaultdict(list)
    for example in examples:
        judged[example.meta.template].append(example)
    worst = max(
        (found for found in judged.values() if len(found) >= _FEWEST_TO_JUDGE),
        key=lambda found: (abs(_share(found) - share) * len(found), found[0].meta.template),
    )
    excess: Polarity = "negative" if _share(worst) > share else "positive"
    return max(
        (example for example in worst if example.meta.polarity == excess),
        key=lambda example: example.meta.id,
    )


def _share(examples: Sequence[Example]) -> Fraction:
    negatives = sum(example.meta.polarity == "negative" for example in examples)
    return Fraction(negatives, len(examples))


def template_auc(examples: Sequence[Example]) -> float:
    """Return how well the template alone predicts the polarity, as area under the ROC curve.

    The predictor is the share of negatives in the template, the best that any classifier on
    template features can know. Templates with few examples are pooled: their share is chance, and a
    classifier that believed it would do worse on the next example. 0.5 knows nothing.
    """
    return _auc(
        [example.meta.template for example in examples],
        [example.meta.polarity for example in examples],
    )


def templates_tell(examples: Sequence[Example]) -> bool:
    """Whether the template predicts the polarity: by the limit, and better than by chance.

    In a small dataset the shares of the templates differ by chance alone. So an area above the
    limit must also be larger than in 99 datasets whose polarities were dealt to the same templates
    at random (a permutation test at the level of 1 %).
    """
    auc = template_auc(examples)
    if auc < _HIGHEST_AUC:
        return False
    templates = [example.meta.template for example in examples]
    polarities = [example.meta.polarity for example in examples]
    chance = random.Random(len(examples))  # Any seed; the same examples get the same verdict.
    for _ in range(_PERMUTATIONS):
        chance.shuffle(polarities)
        if _auc(templates, polarities) >= auc:
            return False
    return True


def _auc(templates: Sequence[str], polarities: Sequence[Polarity]) -> float:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for template, polarity in zip(templates, polarities, strict=True):
        counts[template][polarity] += 1
    pooled: dict[str, Counter[str]] = defaultdict(Counter)
    for template, count in counts.items():
        pooled[template if count.total() >= _FEWEST_TO_JUDGE else ""].update(count)
    totals = Counter(polarities)
    if not totals["positive"] or not totals["negative"]:
        return 0.5
    below, won = 0, 0.0
    for count in sorted(pooled.values(), key=lambda c: Fraction(c["negative"], c.total())):
        won += count["negative"] * (below + count["positive"] / 2)
        below += count["positive"]
    return won / (totals["positive"] * totals["negative"])
