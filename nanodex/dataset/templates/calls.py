"""Who calls whom, in both directions."""

from nanodex.api.records import Predicate
from nanodex.dataset.templates.family import Family

CALLS = Family(
    key="calls",
    predicate=Predicate.CALLS,
    category="discovery",
    statement="`{s}` calls {objects}.",
    mark="`",
    ask=(
        ("question", "What does `{s}` call?"),
        ("question", "Which functions does `{s}` call?"),
        ("list", "List the callees of `{s}`."),
        ("cloze", "`{s}` calls"),
        ("question", "What does `{s}` depend on?"),
        ("flow", "What happens inside `{s}`?"),
        ("question", "On which functions does `{s}` rely?"),
        ("list", "Callees of `{s}`:"),
        ("question", "What is called by the body of `{s}`?"),
        ("flow", "Follow `{s}`: what runs next?"),
        ("question", "Which code does `{s}` invoke?"),
        ("cloze", "Inside `{s}` there is a call to"),
        ("code", "In `def {s}`, which of our functions are called?"),
        ("question", "Name the functions that `{s}` calls."),
        ("question", "Tell me what `{s}` calls."),
        ("list", "Print the calls that `{s}` makes."),
        ("question", "Whom does `{s}` ask for help?"),
        ("flow", "Where does the flow go from `{s}`?"),
    ),
    check=("Does `{s}` call `{o}`?", "Is `{o}` called in `{s}`?", "Does `{s}` use `{o}`?"),
    choice=("Does `{s}` call `{o}` or `{x}`?", "Which does `{s}` use: `{o}` or `{x}`?"),
    reserved=(
        ("question", "Which helpers does `{s}` make use of?"),
        ("list", "Name everything of ours that `{s}` invokes."),
        ("flow", "To what does `{s}` pass control?"),
    ),
)

CALLED_BY = Family(
    key="called_by",
    predicate=Predicate.CALLED_BY,
    category="discovery",
    statement="`{s}` is called by {objects}.",
    mark="`",
    ask=(
        ("question", "Who calls `{s}`?"),
        ("question", "By what is `{s}` called?"),
        ("list", "List the callers of `{s}`."),
        ("cloze", "`{s}` is called by"),
        ("question", "Where is `{s}` used?"),
        ("question", "What breaks if I change `{s}`?"),
        ("question", "Which functions use `{s}`?"),
        ("list", "Callers of `{s}`:"),
        ("flow", "What runs before `{s}`?"),
        ("question", "Which code depends on `{s}`?"),
        ("question", "Who uses `{s}`?"),
        ("cloze", "A call of `{s}` stands in"),
        ("code", "grep the callers of `{s}`."),
        ("question", "Name the code that calls `{s}`."),
        ("question", "Tell me who uses `{s}`."),
        ("list", "Print the call sites of `{s}`."),
        ("question", "Where in the code does a call of `{s}` happen?"),
        ("flow", "Which function leads to `{s}`?"),
    ),
    check=(
        "Is `{s}` called by `{o}`?",
        "Is `{o}` a caller of `{s}`?",
        "Do we reach `{s}` from `{o}`?",
    ),
    choice=("Is `{s}` called by `{o}` or `{x}`?", "Who uses `{s}`: `{o}` or `{x}`?"),
    reserved=(
        ("question", "From where is `{s}` invoked?"),
        ("list", "Name all callers that `{s}` has."),
        ("question", "Which functions would notice a change of `{s}`?"),
    ),
)
