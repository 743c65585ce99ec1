"""A summary says only what the graph proves, and never more than it may."""

from collections.abc import Callable, Sequence
from typing import Any

from nanodex.brain.summarizer import first_sentence, summarize

MakeRows = Callable[[], Any]


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def summary(rows: Any, name: str, *, max_tokens: int = 200) -> str:
    graph = rows.graph()
    [text] = summarize(graph, [rows.nodes[name]], max_tokens=max_tokens, count_tokens=words)
    return text


def parcel(rows: MakeRows) -> Any:
    return (
        rows()
        .node("app.weigh", docstring="Weigh a parcel.\n\nLong story.", signature="def weigh(p)")
        .node("app.scale")
        .node("app.quote")
        .edge("app.weigh", "calls", "app.scale")
        .edge("app.quote", "calls", "app.weigh")
        .raises("app.weigh", "TooHeavy", condition="p.grams >\n  LIMIT")
    )


def test_a_summary_quotes_place_signature_docstring_failure_callees_and_callers(
    rows: MakeRows,
) -> None:
    assert summary(parcel(rows), "app.weigh") == (
        "`app.weigh` is a function in src/app.py, lines 3-9. "
        "Signature: `def weigh(p)`. "
        'Documented as: "Weigh a parcel." '
        "Raises `TooHeavy` when `p.grams > LIMIT`. "
        "Calls `app.scale`. "
        "Called by `app.quote`."
    )


def test_a_long_summary_loses_its_last_sentences_first(rows: MakeRows) -> None:
    short = summary(parcel(rows), "app.weigh", max_tokens=12)
    assert short.endswith("Signature: `def weigh(p)`.")
    assert words([short]) <= [12]


def test_even_one_sentence_keeps_the_limit(rows: MakeRows) -> None:
    name = "app." + "very_" * 50 + "long"
    assert len(summary(rows().node(name), name, max_tokens=5).encode()) <= 5


def test_texts_of_several_nodes_are_those_of_each(rows: MakeRows) -> None:
    graph = parcel(rows)
    nodes = [graph.nodes[name] for name in ("app.weigh", "app.scale", "app.quote")]
    together = summarize(graph.graph(), nodes, max_tokens=12, count_tokens=words)
    apart = [
        summarize(graph.graph(), [node], max_tokens=12, count_tokens=words)[0] for node in nodes
    ]
    assert together == apart
    assert len(set(apart)) == 3


def test_many_callees_are_counted_not_listed(rows: MakeRows) -> None:
    graph = rows().node("app.hub")
    for number in range(8):
        graph.node(f"app.f{number}").edge("app.hub", "calls", f"app.f{number}")
    assert "`app.f4` and 3 more." in summary(graph, "app.hub")


def test_a_text_with_fewer_bytes_than_tokens_allowed_is_not_counted(rows: MakeRows) -> None:
    def refuse(texts: Sequence[str]) -> list[int]:
        raise AssertionError("counted for nothing")

    graph = rows().node("app.f")
    nodes = [graph.nodes["app.f"]]
    [text] = summarize(graph.graph(), nodes, max_tokens=200, count_tokens=refuse)
    assert text == "`app.f` is a function in src/app.py, lines 3-9."


def test_the_first_sentence_ends_at_its_mark_or_at_the_paragraph() -> None:
    assert first_sentence("Weigh 2.5 kg. Then stop.") == "Weigh 2.5 kg."
    assert first_sentence("No mark\nat all\n\nNext.") == "No mark at all"
