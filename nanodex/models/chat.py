"""How a chat becomes tokens: the same bytes in training, evaluation and the engine.

The prompt is rendered by the base model's own template with its generation prompt, exactly as the
engine renders a request. What the template appends for the assistant's turn, up to the end-of-turn
token, is the completion that the model must produce.
"""

from collections.abc import Sequence
from typing import Any

from nanodex.api.reasons import Reason
from nanodex.api.records import Message
from nanodex.errors import UserError


class ChatFormat:
    """Renders messages for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """Use `tokenizer`, a transformers tokenizer with a chat template."""
        if not tokenizer.chat_template or tokenizer.eos_token is None:
            raise UserError(
                "the base model has no chat template or no end-of-turn token",
                reason=Reason.INVALID_INPUT,
                hint="choose an instruction-tuned base model",
            )
        self._tokenizer = tokenizer

    def prompt(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Return the token ids of `messages` with the opening of the assistant's turn."""
        return self._encode(self._render(messages, generation=True))

    def completion(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Return the token ids that answer `messages[:-1]`: the last message and the end of turn.

        Raises:
            UserError: the template renders a finished turn unlike an opened one.
        """
        prompt = self._render(messages[:-1], generation=True)
        full = self._render(messages, generation=False)
        if not full.startswith(prompt):
            raise UserError(
                "the chat template renders an answer unlike the prompt that asks for it",
                reason=Reason.INVALID_INPUT,
                hint="choose a base model whose template adds nothing to a finished turn",
            )
        end: str = self._tokenizer.eos_token
        answer, found, _ = full.removeprefix(prompt).rpartition(end)
        return self._encode((answer if found else full.removeprefix(prompt)) + end)

    def tokens(self, text: str) -> tuple[int, ...]:
        """Return the token ids of plain text."""
        return self._encode(text)

    def text(self, tokens: Sequence[int]) -> str:
        """Return the plain text of `tokens`, special tokens left out."""
        decoded: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return decoded.strip()

    def _render(self, messages: Sequence[Message], *, generation: bool) -> str:
        rendered: str = self._tokenizer.apply_chat_template(
            [message.model_dump() for message in messages],
            tokenize=False,
            add_generation_prompt=generation,
        )
        return rendered

    def _encode(self, text: str) -> tuple[int, ...]:
        # The template writes every special token itself; adding more would differ from the engine.
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])
