"""The node types of tree-sitter-java that mean something here."""

QUERY_PACK_VERSION = 1

CLASS_KINDS = {
    "class_declaration": "class",
    "record_declaration": "class",
    "interface_declaration": "interface",
    "annotation_type_declaration": "interface",
    "enum_declaration": "enum",
}
METHODS = frozenset(
    {
        "method_declaration",
        "constructor_declaration",
        "compact_constructor_declaration",
        "annotation_type_element_declaration",
    }
)
# Node types that open a scope for the names declared in them.
SCOPES = frozenset(
    {
        "block", "for_statement", "enhanced_for_statement", "try_with_resources_statement",
        "catch_clause", "switch_block_statement_group", "switch_rule", "while_statement",
    }
)  # fmt: skip
# Spring's annotations that make a method answer requests, and the HTTP method that they say.
MAPPINGS = {
    "GetMapping": "GET",
    "PostMapping": "POST",
    "PutMapping": "PUT",
    "DeleteMapping": "DELETE",
    "PatchMapping": "PATCH",
    "RequestMapping": "ANY",
}
# Types that every file knows without an import; the rest of java.lang is not guessed.
JAVA_LANG = frozenset(
    """
    AbstractMethodError Appendable ArithmeticException ArrayIndexOutOfBoundsException
    ArrayStoreException AssertionError AutoCloseable Boolean Byte CharSequence Character Class
    ClassCastException ClassLoader ClassNotFoundException CloneNotSupportedException Cloneable
    Comparable Deprecated Double Enum Error Exception ExceptionInInitializerError Float
    FunctionalInterface IllegalAccessException IllegalArgumentException IllegalStateException
    IndexOutOfBoundsException InheritableThreadLocal InstantiationException Integer
    InterruptedException Iterable LinkageError Long Math NegativeArraySizeException
    NoClassDefFoundError NoSuchFieldException NoSuchMethodException NullPointerException Number
    NumberFormatException Object OutOfMemoryError Override Package Process ProcessBuilder Readable
    Record ReflectiveOperationException Runnable Runtime RuntimeException SafeVarargs
    SecurityException Short StackOverflowError StackTraceElement StrictMath String StringBuffer
    StringBuilder StringIndexOutOfBoundsException SuppressWarnings System Thread ThreadGroup
    ThreadLocal Throwable UnsupportedOperationException VerifyError VirtualMachineError Void
    """.split()
)
PRIMITIVES = frozenset("boolean byte char short int long float double void".split())
