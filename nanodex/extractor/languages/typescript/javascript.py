"""JavaScript as a language of its own name; `ExtractorConfig.languages` tells the two apart."""

from nanodex.extractor.languages.typescript.language import EcmaLanguage

LANGUAGE = EcmaLanguage(
    name="javascript",
    grammars=("tree-sitter-javascript",),
    suffixes=dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), "javascript"),
)
