"""How something is written down: signature, parameters, return type, value."""

from nanodex.api.records import Predicate
from nanodex.dataset.templates.family import Family

SIGNATURE = Family(
    key="signature",
    predicate=Predicate.SIGNATURE,
    category="explain",
    statement="`{s}` has the signature `{objects}`.",
    mark="",
    ask=(
        ("question", "What is the signature of `{s}`?"),
        ("question", "How is `{s}` declared?"),
        ("code", "Show the declaration of `{s}`."),
        ("question", "Which signature does `{s}` have?"),
        ("cloze", "`{s}` has the signature"),
        ("code", "Write the signature of `{s}`."),
        ("question", "What does the declaration of `{s}` look like?"),
        ("code", "Signature: `{s}`"),
        ("question", "How do I write an override of `{s}`?"),
        ("code", "Quote the head of `{s}`."),
        ("question", "What are the arguments and the type of `{s}`?"),
        ("cloze", "The source declares `{s}` as"),
        ("code", "help(`{s}`)"),
    ),
    check=(
        "Is `{o}` the signature of `{s}`?",
        "Is `{s}` declared as `{o}`?",
        "Does `{s}` have the signature `{o}`?",
    ),
    reserved=(
        ("question", "Give me the full signature of `{s}`."),
        ("code", "Print how `{s}` is declared in the source."),
        ("question", "With which signature is `{s}` written?"),
    ),
)

PARAMETER = Family(
    key="parameter",
    predicate=Predicate.PARAMETER,
    category="explain",
    statement="`{s}` takes {objects}.",
    mark="`",
    ask=(
        ("question", "Which parameters does `{s}` take?"),
        ("question", "What are the parameters of `{s}`?"),
        ("list", "List the parameters of `{s}`."),
        ("question", "What do I pass to `{s}`?"),
        ("cloze", "`{s}` takes"),
        ("question", "What arguments does `{s}` expect?"),
        ("list", "Parameters of `{s}`:"),
        ("question", "What must a caller give to `{s}`?"),
        ("code", "Name the arguments in `{s}(...)`."),
        ("question", "How are the parameters of `{s}` named?"),
        ("question", "What is the input of `{s}`?"),
        ("cloze", "The parameters of `{s}` are"),
        ("list", "Arguments of `{s}`, in order:"),
    ),
    check=(
        "Does `{s}` take `{o}`?",
        "Is `{o}` a parameter of `{s}`?",
        "Can I pass `{o}` to `{s}`?",
    ),
    choice=("Does `{s}` take `{o}` or `{x}`?", "Is `{o}` or `{x}` a parameter of `{s}`?"),
    reserved=(
        ("question", "Which arguments does `{s}` accept?"),
        ("list", "Enumerate the arguments of `{s}`."),
        ("question", "By which names does `{s}` receive its input?"),
    ),
)

RETURNS = Family(
    key="returns",
    predicate=Predicate.RETURNS,
    category="explain",
    statement="`{s}` returns {objects}.",
    mark="`",
    ask=(
        ("question", "What does `{s}` return?"),
        ("question", "Which type does `{s}` return?"),
        ("question", "What is the return type of `{s}`?"),
        ("cloze", "`{s}` returns"),
        ("question", "What do I get back from `{s}`?"),
        ("question", "What comes out of `{s}`?"),
        ("code", "type(`{s}(...)`) ="),
        ("question", "Of which type is the result of `{s}`?"),
        ("cloze", "The return type of `{s}` is"),
        ("list", "Return type of `{s}`:"),
        ("question", "What does a call of `{s}` give?"),
        ("code", "Annotate the result of `{s}`."),
        ("question", "What is the output of `{s}`?"),
    ),
    check=(
        "Does `{s}` return `{o}`?",
        "Is `{o}` the return type of `{s}`?",
        "Do I get `{o}` from `{s}`?",
    ),
    choice=("Does `{s}` return `{o}` or `{x}`?", "Is the result of `{s}` `{o}` or `{x}`?"),
    reserved=(
        ("question", "Which type has the value that `{s}` gives back?"),
        ("question", "What result type is declared for `{s}`?"),
        ("question", "What will `{s}` hand back to its caller?"),
    ),
)

VALUE = Family(
    key="value",
    predicate=Predicate.VALUE,
    category="explain",
    statement="`{s}` is {objects}.",
    mark="`",
    ask=(
        ("question", "What is the value of `{s}`?"),
        ("question", "Which value has `{s}`?"),
        ("code", "`{s}` ="),
        ("cloze", "`{s}` is set to"),
        ("question", "What is `{s}` set to?"),
        ("code", "print(`{s}`)"),
        ("question", "How is `{s}` initialised?"),
        ("cloze", "The value of `{s}` is"),
        ("question", "What does the constant `{s}` hold?"),
        ("list", "Value of `{s}`:"),
        ("question", "To what does `{s}` evaluate?"),
        ("question", "Which value is assigned to `{s}`?"),
        ("code", "Write the assignment of `{s}`."),
    ),
    check=("Is `{s}` `{o}`?", "Does `{s}` have the value `{o}`?", "Is `{o}` the value of `{s}`?"),
    choice=("Is `{s}` `{o}` or `{x}`?", "Which is the value of `{s}`: `{o}` or `{x}`?"),
    reserved=(
        ("question", "What value does the source give to `{s}`?"),
        ("question", "How much or what is `{s}`?"),
        ("code", "Evaluate `{s}`."),
    ),
)
