"""What fails, when, and with which words."""

from nanodex.api.records import Predicate
from nanodex.dataset.templates.family import Family

RAISES = Family(
    key="raises",
    predicate=Predicate.RAISES,
    category="diagnostics",
    statement="`{s}` raises {objects}.",
    mark="`",
    ask=(
        ("question", "What does `{s}` raise?"),
        ("question", "Which exception does `{s}` raise?"),
        ("question", "How does `{s}` fail?"),
        ("cloze", "`{s}` raises"),
        ("question", "Which error can come from `{s}`?"),
        ("code", "try: `{s}` except"),
        ("question", "What must I catch when I call `{s}`?"),
        ("question", "What is thrown by `{s}`?"),
        ("list", "Exceptions of `{s}`:"),
        ("question", "Which failure does `{s}` report?"),
        ("cloze", "When it fails, `{s}` throws"),
        ("question", "Which exceptions should a caller of `{s}` handle?"),
        ("list", "List what `{s}` throws."),
    ),
    check=("Does `{s}` raise `{o}`?", "Can `{s}` throw `{o}`?", "Does `{o}` come from `{s}`?"),
    choice=("Does `{s}` raise `{o}` or `{x}`?", "Should I catch `{o}` or `{x}` from `{s}`?"),
    reverse=("What raises `{o}`?", "I got `{o}`. Which code threw it?"),
    reverse_statement="`{o}` is raised by {subjects}.",
    reserved=(
        ("question", "If `{s}` goes wrong, which exception do I see?"),
        ("question", "Name the exception type that `{s}` throws."),
        ("question", "With what error does `{s}` refuse its input?"),
    ),
)

CONDITION = Family(
    key="condition",
    predicate=Predicate.RAISES,
    category="diagnostics",
    statement="`{s}` fails if {objects}.",
    mark="`",
    ask=(
        ("question", "When does `{s}` fail?"),
        ("question", "Under which condition does `{s}` raise?"),
        ("question", "What makes `{s}` raise?"),
        ("cloze", "`{s}` fails if"),
        ("question", "Why did `{s}` raise?"),
        ("code", "Which `if` guards the raise in `{s}`?"),
        ("question", "What should I check when `{s}` fails?"),
        ("question", "What input does `{s}` reject?"),
        ("cloze", "An exception leaves `{s}` when"),
        ("list", "Failure condition of `{s}`:"),
        ("question", "What triggers the exception in `{s}`?"),
        ("question", "What does `{s}` check before it raises?"),
        ("question", "Why is `{s}` refusing my call?"),
    ),
    check=(
        "Does `{s}` fail if `{o}`?",
        "Is `{o}` why `{s}` raises?",
        "Will `{s}` raise when `{o}`?",
    ),
    choice=("Does `{s}` fail if `{o}` or if `{x}`?", "`{o}` or `{x}`: when does `{s}` raise?"),
    reserved=(
        ("question", "In what case does `{s}` throw?"),
        ("question", "Which check in `{s}` leads to its exception?"),
        ("question", "Quote the condition on which `{s}` gives up."),
    ),
)

MESSAGE = Family(
    key="message",
    predicate=Predicate.RAISES,
    category="diagnostics",
    statement="`{s}` fails with {objects}.",
    mark='"',
    ask=(
        ("question", "Which message does `{s}` fail with?"),
        ("question", "What does the error of `{s}` say?"),
        ("question", "Which error text comes from `{s}`?"),
        ("cloze", "`{s}` fails with the words"),
        ("question", "What do I read in the log when `{s}` fails?"),
        ("list", "Error message of `{s}`:"),
        ("question", "What is the message of the exception in `{s}`?"),
        ("code", "str(error) from `{s}` ="),
        ("question", "How does `{s}` word its failure?"),
        ("cloze", "The exception of `{s}` says"),
        ("question", "With what text does `{s}` raise?"),
        ("question", "What does `{s}` tell me when it fails?"),
        ("code", "Quote the message in `{s}`."),
    ),
    check=(
        'Does `{s}` fail with "{o}"?',
        'Is "{o}" a message of `{s}`?',
        'Does `{s}` say "{o}"?',
    ),
    reverse=('Where does "{o}" come from?', 'The log says "{o}". Which code failed?'),
    reverse_statement='"{o}" comes from {subjects}.',
    reserved=(
        ("question", "What text does the exception that leaves `{s}` carry?"),
        ("question", "Which words does a user see if `{s}` gives up?"),
        ("question", "Recite the error message in `{s}`."),
    ),
)
