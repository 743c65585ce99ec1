"""What something is for, in its author's words, and free text about it."""

from nanodex.api.records import Predicate
from nanodex.dataset.templates.family import Family

DOCSTRING = Family(
    key="docstring",
    predicate=Predicate.DOCSTRING,
    category="explain",
    statement="`{s}`: {objects}.",
    mark="",
    ask=(
        ("question", "What does `{s}` do?"),
        ("question", "What is `{s}` for?"),
        ("question", "What is the purpose of `{s}`?"),
        ("code", "`{s}`.__doc__ ="),
        ("question", "How is `{s}` documented?"),
        ("cloze", "The documentation of `{s}` says"),
        ("question", "Why would I use `{s}`?"),
        ("question", "What do the docs say about `{s}`?"),
        ("list", "Purpose of `{s}`:"),
        ("question", "What should I know about `{s}`?"),
        ("question", "What is the job of `{s}`?"),
        ("code", "Quote the docstring of `{s}`."),
        ("question", "What is meant by `{s}`?"),
        ("question", "Tell me what `{s}` is for."),
        ("question", "Give me the documentation of `{s}`."),
        ("code", "Print the docs of `{s}`."),
        ("question", "For what do we have `{s}`?"),
        ("question", "How does its author describe `{s}`?"),
    ),
    check=(
        'Is `{s}` documented as "{o}"?',
        'Does "{o}" describe `{s}`?',
        'Is "{o}" the purpose of `{s}`?',
    ),
    reverse=('Which symbol has the docs "{o}"?', 'What is documented as "{o}"?'),
    reverse_statement='"{o}" documents {subjects}.',
    reserved=(
        ("question", "In one sentence, what is the role of `{s}`?"),
        ("question", "What did the author write about `{s}`?"),
        ("question", "What can `{s}` be used for?"),
    ),
)

# Free text that states several facts at once; what it says is asked only in the test set T2.
EXPLANATION = Family(
    key="explanation",
    predicate=Predicate.DOCSTRING,
    category="explain",
    statement="{objects}",
    mark="",
    ask=(
        ("flow", "Explain `{s}`."),
        ("flow", "Tell me about `{s}`."),
        ("flow", "Describe `{s}`."),
        ("flow", "Summarise `{s}`."),
        ("flow", "Give an overview of `{s}`."),
        ("flow", "I am new here. Explain `{s}` to me."),
        ("flow", "Write a note about `{s}`."),
        ("flow", "What is there to say about `{s}`?"),
        ("flow", "Document `{s}`."),
        ("flow", "Everything about `{s}`:"),
        ("flow", "Walk me through `{s}`."),
        ("flow", "Review `{s}`."),
        ("flow", "How does `{s}` work?"),
        ("flow", "Introduce `{s}`."),
        ("flow", "Present `{s}` in short."),
        ("flow", "What do you know about `{s}`?"),
    ),
    reserved=(
        ("flow", "Give me an explanation of `{s}`."),
        ("flow", "Sketch `{s}` for a colleague."),
    ),
)
