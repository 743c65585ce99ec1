"""TypeScript and JavaScript: two grammars, one reading; modules link across both."""

from nanodex.extractor.languages.typescript.language import EcmaLanguage

LANGUAGE = EcmaLanguage(
    name="typescript",
    grammars=("tree-sitter-typescript",),
    suffixes={".ts": "typescript", ".mts": "typescript", ".cts": "typescript", ".tsx": "tsx"},
)
