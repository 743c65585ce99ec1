"""The node types of tree-sitter-cpp that mean something here."""

QUERY_PACK_VERSION = 1

CLASSES = frozenset({"class_specifier", "struct_specifier", "union_specifier"})
NAMES = frozenset(
    """
    identifier field_identifier type_identifier qualified_identifier destructor_name operator_name
    template_function namespace_identifier
    """.split()
)
SCOPES = frozenset(
    {"compound_statement", "for_statement", "while_statement", "do_statement", "case_statement"}
)
# Declarators around the one that has the name.
WRAPPERS = frozenset(
    """
    pointer_declarator reference_declarator array_declarator init_declarator
    parenthesized_declarator attributed_declarator
    """.split()
)
CASTS = frozenset("static_cast dynamic_cast const_cast reinterpret_cast".split())
MAKERS = {"make_unique": "std.unique_ptr", "make_shared": "std.shared_ptr"}
POINTERS = frozenset("std.unique_ptr std.shared_ptr std.weak_ptr std.optional".split())
SEQUENCES = frozenset(
    """
    std.vector std.array std.deque std.list std.set std.unordered_set std.span std.forward_list
    """.split()
)
MAPS = frozenset("std.map std.unordered_map std.multimap".split())
TEST_MACROS = ("TEST", "TEST_F", "TEST_P", "TYPED_TEST", "BOOST_AUTO_TEST_CASE")
ENVIRONMENT = frozenset("getenv std::getenv ::getenv secure_getenv".split())
EXCEPTIONS = frozenset(
    f"std.{name}"
    for name in """
    exception runtime_error logic_error invalid_argument domain_error length_error out_of_range
    range_error overflow_error underflow_error bad_alloc bad_cast system_error ios_base.failure
    bad_function_call bad_optional_access bad_variant_access
    """.split()
)
