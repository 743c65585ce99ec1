"""What a family of wordings is: many ways to ask for one kind of fact, and one way to state it."""

from dataclasses import dataclass
from typing import Literal

from nanodex.api.records import Category, Genre, Predicate

Shape = Literal["ask", "check", "choice", "reverse", "reserved"]
Mark = Literal["`", "", '"']


@dataclass(frozen=True)
class Template:
    """One wording.

    Placeholders: `{s}` the subject; `{o}` an object of the fact (check, choice, reverse); `{x}` an
    object of another subject (choice).
    """

    id: str
    genre: Genre
    shape: Shape
    text: str

    def fill(self, *, s: str, o: str = "", x: str = "") -> str:
        """Return the prompt."""
        return self.text.format(s=s, o=o, x=x)


@dataclass(frozen=True)
class Family:
    """The wordings of one kind of fact.

    `ask`, `check`, `choice` and `reverse` are for training; `reserved` is for the test sets alone.
    Every template may be asked about an absent thing, so none of them tells the polarity.
    """

    key: str
    predicate: Predicate
    category: Category
    statement: str
    mark: Mark
    ask: tuple[tuple[Genre, str], ...]
    reserved: tuple[tuple[Genre, str], ...]
    check: tuple[str, ...] = ()
    choice: tuple[str, ...] = ()
    reverse: tuple[str, ...] = ()
    # States all subjects of one object; `{o}` and `{subjects}`.
    reverse_statement: str = ""

    def templates(self, shape: Shape) -> tuple[Template, ...]:
        """Return the wordings of one shape, with stable ids."""
        if shape == "ask":
            pairs = tuple(_unmarked(number, *pair) for number, pair in enumerate(self.ask))
        elif shape == "reserved":
            pairs = self.reserved
        else:
            genre: Genre = {"check": "question", "choice": "comparison", "reverse": "reverse"}[
                shape
            ]  # type: ignore[assignment]
            texts = {"check": self.check, "choice": self.choice, "reverse": self.reverse}[shape]
            pairs = tuple((genre, text) for text in texts)
        return tuple(
            Template(id=f"{self.key}.{shape}.{number}", genre=genre, shape=shape, text=text)
            for number, (genre, text) in enumerate(pairs)
        )

    def say(self, subject: str, objects: tuple[str, ...]) -> str:
        """Return the statement about `subject` that names every object verbatim."""
        return self.statement.format(s=subject, objects=listed(objects, mark=self.mark))

    def say_reverse(self, an_object: str, subjects: tuple[str, ...]) -> str:
        """Return the statement about `an_object` that names every subject."""
        return self.reverse_statement.format(o=an_object, subjects=listed(subjects, mark="`"))


def _unmarked(number: int, genre: Genre, text: str) -> tuple[Genre, str]:
    """Name the subject without backticks in every third wording, as people type it."""
    return (genre, text.replace("`{s}`", "{s}")) if number % 3 == 2 else (genre, text)


def listed(items: tuple[str, ...], *, mark: Mark) -> str:
    """Return the items as words: `a`, `b` and `c`."""
    marked = [f"{mark}{item}{mark}" for item in items]
    if len(marked) < 2:
        return "".join(marked)
    return ", ".join(marked[:-1]) + " and " + marked[-1]
