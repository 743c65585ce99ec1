"""Counting tokens."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from nanodex.errors import UserError
from nanodex.models import token_counter


def test_words_are_counted_without_special_tokens(tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"<s>": 0, "?": 1, "one": 2, "two": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    count = token_counter(tmp_path / "tokenizer.json")
    assert count(["one two one", "", "two"]) == [3, 0, 1]


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        token_counter(tmp_path / "tokenizer.json")
