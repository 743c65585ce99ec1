"""The wordings of the dataset, one module for each group of predicates."""

from nanodex.dataset.templates import (
    calls,
    composition,
    errors,
    hierarchy,
    interface,
    location,
    meaning,
    usage,
)
from nanodex.dataset.templates.family import Family, Shape, Template, listed

# Families of one fact, in the order in which a report lists them.
ATOMIC: tuple[Family, ...] = (
    location.LOCATION,
    location.KIND,
    interface.SIGNATURE,
    interface.PARAMETER,
    interface.RETURNS,
    interface.VALUE,
    calls.CALLS,
    calls.CALLED_BY,
    errors.RAISES,
    errors.CONDITION,
    errors.MESSAGE,
    hierarchy.EXTENDS,
    hierarchy.IMPLEMENTS,
    hierarchy.OVERRIDES,
    hierarchy.IMPORTS,
    meaning.DOCSTRING,
    usage.TESTED_BY,
    usage.USAGE,
    usage.READS_ENV,
    usage.ROUTE,
)
# Families of a text that joins several facts.
JOINED: tuple[Family, ...] = (
    meaning.EXPLANATION,
    composition.CALLER_FILE,
    composition.EXCEPTION_FILE,
    composition.BASE_FILE,
    composition.CALLEE_RAISES,
)
FAMILIES: dict[str, Family] = {family.key: family for family in (*ATOMIC, *JOINED)}

__all__ = ["ATOMIC", "FAMILIES", "JOINED", "Family", "Shape", "Template", "listed"]
