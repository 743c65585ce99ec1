"""Where something is defined and what it is."""

from nanodex.api.records import Predicate
from nanodex.dataset.templates.family import Family

LOCATION = Family(
    key="location",
    predicate=Predicate.DEFINED_AT,
    category="discovery",
    statement="`{s}` is defined in {objects}.",
    mark="",
    ask=(
        ("question", "Where is `{s}` defined?"),
        ("question", "Which file defines `{s}`?"),
        ("question", "In which file is `{s}`?"),
        ("cloze", "`{s}` is defined in"),
        ("question", "What is the path of `{s}`?"),
        ("question", "Where does `{s}` live?"),
        ("question", "Which source file contains `{s}`?"),
        ("cloze", "The definition of `{s}` is in the file"),
        ("code", "grep the definition of `{s}`: which path?"),
        ("question", "I want to edit `{s}`. Which file do I open?"),
        ("question", "Where can I find `{s}`?"),
        ("question", "Name the file of `{s}`."),
        ("list", "File of `{s}`:"),
    ),
    check=(
        "Is `{s}` defined in {o}?",
        "Does {o} define `{s}`?",
        "Is {o} the file of `{s}`?",
    ),
    choice=("Is `{s}` in {o} or in {x}?", "Which file has `{s}`: {o} or {x}?"),
    reverse=("What does {o} define?", "Which symbols are in {o}?"),
    reverse_statement="{o} defines {subjects}.",
    reserved=(
        ("question", "Tell me the file in which `{s}` is implemented."),
        ("question", "Where in the repository is `{s}` located?"),
        ("question", "Which path holds the source code of `{s}`?"),
    ),
)

KIND = Family(
    key="kind",
    predicate=Predicate.KIND,
    category="discovery",
    statement="`{s}` is of kind {objects}.",
    mark="",
    ask=(
        ("question", "What kind of thing is `{s}`?"),
        ("question", "What is `{s}`?"),
        ("cloze", "`{s}` is of kind"),
        ("question", "Which kind of symbol is `{s}`?"),
        ("question", "Is `{s}` a function, a class or something else?"),
        ("code", "kind(`{s}`) ="),
        ("list", "Kind of `{s}`:"),
        ("cloze", "In the code `{s}` is declared as kind"),
        ("question", "Which construct of the language is `{s}`?"),
        ("question", "How would you classify `{s}`?"),
        ("code", "symbol `{s}`: kind ="),
        ("question", "What does the parser see in `{s}`?"),
    ),
    check=(
        "Does `{s}` exist?",
        "Is `{s}` of kind {o}?",
        "Do we have `{s}`?",
        "Is there something called `{s}`?",
        "Is {o} the kind of `{s}`?",
        "Is `{s}` part of the code?",
    ),
    choice=("Is `{s}` of kind {o} or {x}?", "{o} or {x}: what is `{s}`?"),
    reserved=(
        ("question", "What sort of symbol is `{s}`?"),
        ("question", "As what is `{s}` declared?"),
        ("question", "Do you know `{s}`, and of which kind is it?"),
    ),
)
