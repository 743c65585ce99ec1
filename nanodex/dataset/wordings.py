"""Deals the wordings of a family to its topics, evenly and in groups that negatives can match.

If a template is asked three times, one negative or two would make it a little more or less negative
than the others, and a dataset has hundreds of templates. So each template is dealt a multiple of as
many times as one negative stands for (two, at a ratio of 0.5), as far as the numbers allow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nanodex.dataset.draw import Draw
from nanodex.dataset.templates import Template
from nanodex.dataset.topics import Topic

_LARGEST_GROUP = 5


@dataclass(frozen=True)
class Deal:
    """The wordings of one topic: for training, and one open wording left for validation."""

    train: tuple[Template, ...]
    validation: Template


def deal_wordings(
    topics: Sequence[Topic],
    *,
    reversible: frozenset[str],
    forms: int,
    ratio: float,
    draw: Draw,
) -> dict[str, Deal]:
    """Return the wordings of each topic of one family, by topic key.

    Most wordings are open questions; one in eight offers an answer (yes or no, or a choice), one in
    eight asks in reverse where that has a short answer. One open wording is always left over.

    Args:
        topics: all trained topics of one family.
        reversible: keys of the topics that can be asked in reverse.
        forms: wordings for each topic; fewer where the family has not as many.
        ratio: negatives for one positive.
        draw: the choices of this dataset.
    """
    family = topics[0].family
    asks = family.templates("ask")
    closed = (*family.templates("check"), *family.templates("choice"))
    reverse = family.templates("reverse")
    share = max(1, forms // 8)
    group = _group(ratio)
    wanted: dict[str, dict[str, int]] = {"closed": {}, "reverse": {}, "ask": {}}
    for topic in topics:
        backwards = min(share, len(reverse)) if topic.key in reversible else 0
        opened = min(forms - min(share, len(closed)) - backwards, len(asks) - 1)
        wanted["reverse"][topic.key] = backwards
        wanted["ask"][topic.key] = opened
        wanted["closed"][topic.key] = min(forms - opened - backwards, len(closed))
    dealt = [
        _deal(templates, wanted[shape], group=group, draw=draw)
        for shape, templates in (("ask", asks), ("closed", closed), ("reverse", reverse))
    ]
    deals = {}
    for topic in topics:
        train = tuple(template for hand in dealt for template in hand[topic.key])
        left = [template for template in asks if template not in train]
        order = draw.order(left, "validation", topic.key, name=lambda template: template.id)
        deals[topic.key] = Deal(train=train, validation=order[0])
    return deals


def _group(ratio: float) -> int:
    """Return the smallest number of positives that has a whole number of negatives."""
    sizes = range(1, _LARGEST_GROUP + 1)
    return next((n for n in sizes if abs(ratio * n - round(ratio * n)) < 1e-9), 1)


def _deal(
    templates: Sequence[Template], wanted: Mapping[str, int], *, group: int, draw: Draw
) -> dict[str, list[Template]]:
    """Deal `wanted[key]` templates to each key, each template a multiple of `group` times.

    Whoever wants most is served first, with the templates that are left most often; that exhausts
    the shares whenever it can be done at all (Gale and Ryser).
    """
    total = sum(wanted.values())
    left = {template.id: 0 for template in templates}
    by_id = {template.id: template for template in templates}
    players = [key for key, number in wanted.items() if number]
    order = draw.order(left, "deal", name=lambda identity: identity)
    most = len(players)
    while total > 0:
        before = total
        for identity in order:
            step = min(group, total, most - left[identity])
            left[identity] += step
            total -= step
        if total == before:
            break
    hands: dict[str, list[Template]] = {key: [] for key in wanted}
    for key in sorted(players, key=lambda key: (-wanted[key], draw.number("player", key))):
        best = sorted(left, key=lambda t: (-left[t], draw.number("card", key, t)))[: wanted[key]]
        for identity in best:
            left[identity] -= 1
            hands[key].append(by_id[identity])
    return hands
