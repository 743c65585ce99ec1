import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from nanodex.api.records import Answer


class Page(HTMLParser):
    """Elements, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(run: Any) -> Page:
    return Page(run.page())


def test_hostile_text_stays_text(page: Page) -> None:
    assert "<script>alert(1)</script><img src=x onerror=alert(2)>" in page.text
    assert not {"script", "img", "iframe", "object", "b1"} & {tag for tag, _ in page.elements}


def test_nothing_is_loaded_and_nothing_runs(page: Page) -> None:
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")


def test_the_policy_allows_its_own_style_sheet_and_nothing_else(run: Any) -> None:
    text = run.page()
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policies = [
        attributes["content"]
        for tag, attributes in Page(text).elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_characters_that_hide_or_reorder_text_are_shown(run: Any) -> None:
    first = run.questions()[0]
    run.write(
        "evaluate/answers.jsonl",
        Answer(question=first.id, arm="adapter", text="a\u202eb\x07c `d\u202ee`", score=1.0),
    )
    text = Page(run.page()).text
    assert "a\ufffdb\ufffdc d\ufffde" in text


def test_an_answer_without_end_is_cut(run: Any) -> None:
    first = run.questions()[0]
    run.write(
        "evaluate/answers.jsonl",
        Answer(question=first.id, arm="adapter", text="x" * 100_000, score=0.0),
    )
    assert "x" * 701 not in run.page()


def test_the_page_can_be_read_in_the_dark_and_printed(run: Any) -> None:
    text = run.page()
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert '<html lang="en">' in text
