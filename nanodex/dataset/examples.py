"""Writes the training and validation examples of a curriculum and lets only clean ones through."""

from collections import Counter

from nanodex.api.parameters import DatasetConfig
from nanodex.api.progress import Progress
from nanodex.api.reasons import Reason
from nanodex.api.records import Example
from nanodex.dataset.curriculum import Curriculum
from nanodex.dataset.draw import Draw
from nanodex.dataset.neutrality import neutral
from nanodex.dataset.qa_generator import QaGenerator
from nanodex.dataset.templates import Template
from nanodex.dataset.topics import Topic
from nanodex.dataset.validators import one_answer
from nanodex.errors import Interrupted

_VALIDATION_PERCENT = 5
_REPORT_EVERY = 200


def write_examples(
    curriculum: Curriculum,
    config: DatasetConfig,
    *,
    generator: QaGenerator,
    draw: Draw,
    progress: Progress,
    dropped: Counter[str],
) -> list[Example]:
    """Return all examples, shuffled by the seed, train and validation told apart in their meta.

    Validation asks trained facts in a training wording that this fact was not trained in: the loss
    there falls as long as the facts, not the sentences, are being learned.

    Args:
        curriculum: what to teach.
        config: forms per fact and share of negatives.
        generator: writes one example.
        draw: the choices of this dataset.
        progress: told about each topic.
        dropped: counts examples left out, by reason.

    Raises:
        UserError: a template would tell the polarity.
        Interrupted: `progress.stopping` was seen.
    """
    ratio = float(config.negatives_ratio)
    asked: list[tuple[Topic, Template, Example]] = []
    spare: list[tuple[Topic, Template, Example]] = []
    topics = curriculum.trained
    every = max(1, round(100 / _VALIDATION_PERCENT / config.forms_per_fact))
    checked = {t.key for t in draw.order(topics, "validation", name=lambda t: t.key)[::every]}
    deals = generator.deal(topics, forms=config.forms_per_fact, ratio=ratio)
    for done, topic in enumerate(topics, start=1):
        deal = deals[topic.key]
        for template in deal.train:
            example = generator.positive(topic, template, split="train")
            if example is None:
                dropped["NoFalseChoice"] += 1
            else:
                asked.append((topic, template, example))
        if topic.key in checked:
            example = generator.positive(topic, deal.validation, split="validation")
            if example is not None:
                spare.append((topic, deal.validation, example))
        if done % _REPORT_EVERY == 0 or done == len(topics):
            progress.update(done, len(topics), unit="topics")
            if progress.stopping:
                raise Interrupted(
                    "the dataset was stopped",
                    reason=Reason.INTERRUPTED,
                    hint="run it again; it takes seconds",
                )
    kept, conflicts = one_answer(example for *_, example in (*asked, *spare))
    dropped["TwoAnswers"] += conflicts
    ids = {example.meta.id for example in kept}
    train = [pair for pair in asked if pair[2].meta.id in ids]
    validation = [pair for pair in spare if pair[2].meta.id in ids]
    negatives = [
        *generator.negatives([pair[:2] for pair in train], ratio=ratio, split="train"),
        *generator.negatives([pair[:2] for pair in validation], ratio=ratio, split="validation"),
    ]
    examples, conflicts = one_answer([*kept, *negatives])
    dropped["TwoAnswers"] += conflicts
    few_less = neutral(examples)
    dropped["TemplateTells"] += len(examples) - len(few_less)
    return draw.order(few_less, "shuffle", name=lambda example: example.meta.id)
