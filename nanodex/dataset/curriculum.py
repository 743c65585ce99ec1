"""Decides what is taught, what is told as text, what is composed and what is kept for the test."""

from dataclasses import dataclass

from nanodex.api.parameters import DatasetConfig
from nanodex.dataset.compositions import Chains, can_be_told, explanations
from nanodex.dataset.draw import Draw
from nanodex.dataset.splits import Split, split_entities
from nanodex.dataset.topics import Topic, TopicTable, pick
from nanodex.graph.reader import Graph

# Trained two-hop chains, as a share of the trained topics: enough to show the form of the answer.
_CHAINS_PERCENT = 5
_FEWEST_CHAINS = 3


@dataclass(frozen=True)
class Curriculum:
    """The topics of one dataset, by what happens to them."""

    # Asked directly in training; T1 and T4 ask about the same in reserved wordings.
    atomic: tuple[Topic, ...]
    # Texts that training tells, and the topics in them that T2 asks about.
    explained: tuple[Topic, ...]
    told: tuple[Topic, ...]
    # Chains of trained facts: composed in training, and composed in T3 alone.
    trained_chains: tuple[Topic, ...]
    tested_chains: tuple[Topic, ...]
    held_out: tuple[Topic, ...]
    split: Split

    @property
    def trained(self) -> tuple[Topic, ...]:
        """Every topic that gets training examples."""
        return (*self.atomic, *self.explained, *self.trained_chains)


def plan_curriculum(
    graph: Graph, table: TopicTable, config: DatasetConfig, *, draw: Draw
) -> Curriculum:
    """Plan within the budgets of facts and examples.

    Args:
        graph: the whole graph.
        table: every topic of the repository.
        config: budgets and shares.
        draw: the choices of this dataset.
    """
    subjects = {topic.node for topic in table.topics}
    split = split_entities(
        graph,
        subjects,
        tellable=can_be_told(table.topics),
        holdout_percent=config.holdout_percent,
        draw=draw,
    )
    per_topic = config.forms_per_fact * (1 + float(config.negatives_ratio))
    max_topics = max(1, int(config.max_examples / per_topic))
    # Explanations and chains come out of the same budgets, at most a fifth of each.
    explained = explanations(t for t in table.topics if t.node in split.text_only)
    explained = explained[: max_topics // 10]
    while sum(len(topic.facts) for topic, _ in explained) > config.max_facts // 5:
        explained.pop()
    visible = [topic for topic in table.topics if topic.node not in split.hidden]
    atomic = pick(
        visible,
        max_facts=config.max_facts - sum(len(topic.facts) for topic, _ in explained),
        max_topics=max(1, max_topics - len(explained) - max_topics // 10),
        partner=Chains(visible).partner,
    )
    found = draw.order(Chains(atomic).all(), "chains", name=lambda topic: topic.key)
    wanted = max(_FEWEST_CHAINS, len(atomic) * _CHAINS_PERCENT // 100)
    trained = min(len(found) // 3, wanted, max_topics // 10)
    return Curriculum(
        atomic=tuple(atomic),
        explained=tuple(topic for topic, _ in explained),
        told=tuple(topic for _, told in explained for topic in told),
        trained_chains=tuple(found[:trained]),
        tested_chains=tuple(found[trained:]),
        held_out=tuple(topic for topic in table.topics if topic.node in split.held_out),
        split=split,
    )
