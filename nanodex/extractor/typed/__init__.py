"""Resolution by declared types, shared by the languages that declare them.

Java, TypeScript and C++ differ in how a name is looked up, but not in how `order.lines().size()`
is followed: find what `order` is, take its type, find the member, take what it returns. A language
folder turns its expressions into terms (`terms`) and answers name look-ups; following a term
(`evaluator`) over the declarations of all files (`program`) is here, once.
"""
