"""A call is copied from the source as it stands, or not at all."""

import pytest

from nanodex.dataset.sites import call_at


def call(source: str, reference: str) -> str | None:
    content = source.encode()
    start = content.index(reference.encode())
    found = call_at(content, start, start + len(reference.encode()))
    return None if found is None else found[1]


@pytest.mark.parametrize(
    ("source", "reference", "text"),
    [
        ("x = quote(1, (2, 3))[0]", "quote", "quote(1, (2, 3))"),
        ('print(desk.appraise("a)b", [1]))', "appraise", 'desk.appraise("a)b", [1])'),
        ("return pkg.mod.f('it\\'s')", "f('"[:1], "pkg.mod.f('it\\'s')"),
        ("größe = maß('ß')", "maß", "maß('ß')"),
    ],
)
def test_a_call_is_copied_with_its_receiver(source: str, reference: str, text: str) -> None:
    assert call(source, reference) == text


@pytest.mark.parametrize(
    "source",
    [
        "quote(\n  1)",
        "quote(1",
        "quote",
        "quote = 3\nprint(1)",
        "quote('" + "x" * 200 + "')",
        "quote(`tick`)",
    ],
)
def test_what_is_no_short_whole_call_is_left_out(source: str) -> None:
    assert call(source, "quote") is None
