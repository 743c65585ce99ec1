"""What C++ and C sources say, and what names in them mean."""

import pytest

from nanodex.extractor.languages.cpp.macros import blank


@pytest.fixture(scope="module")
def geo(package):
    return package("cpp")


def test_a_definition_stands_for_its_declaration_with_its_documentation(link):
    linked = link(
        {
            "a.h": "namespace n { class A { public:\n /// Goes on.\n void go(int by) const; }; }",
            "a.cc": '#include "a.h"\nnamespace n { void A::go(int by) const { } }',
        }
    )
    go = linked.symbols["n.A.go"]
    assert (go.kind, go.docstring, go.visibility) == ("method", "Goes on.", "public")
    assert go.signature == "void A::go(int by) const"
    assert ("defines", "n.A", "n.A.go", "syntax") in linked.edges


def test_overloads_keep_their_own_declarations(link):
    linked = link(
        {
            "a.h": "void put(int n);\n// Puts text.\nvoid put(const char* s);",
            "a.cc": '#include "a.h"\nvoid put(int n) {}\nvoid put(const char* s) {}\n'
            "void run() { put(1, 2); }",
        }
    )
    assert linked.symbols["put"].docstring == "Puts text."
    assert ("calls", "put", "NoFittingOverload") in linked.unresolved


def test_namespaces_are_part_of_a_name_and_of_a_lookup(geo):
    assert geo.symbols["geo.detail.square"].kind == "function"
    assert geo.targets("calls", "geo.Circle.area") == {
        "geo.pi": "namespace",
        "geo.detail.square": "qualified name",
    }


def test_constants_enums_and_macros_have_their_values(geo):
    assert geo.symbols["geo.kTolerance"].value == "1e-9"
    assert geo.symbols["geo.Style.Dashed"].value == "4"
    assert geo.symbols["GEO_MAX_SIDES"].value == "64"
    assert "GEO_ERROR_H" not in geo.symbols


def test_access_follows_the_specifiers(geo):
    assert geo.symbols["geo.Shape.style_"].visibility == "protected"
    assert geo.symbols["geo.Circle.radius_"].visibility == "private"
    assert geo.symbols["geo.Scene.shapes"].visibility == "public"


def test_exceptions_and_their_raise_sites(geo):
    assert geo.kinds["geo.ShapeError"] == "exception"
    assert ("ShapeError", "radius is negative", "radius_ < 0") in geo.raises


def test_environment_and_entry_point_are_recorded(geo):
    assert ("geo.verbose", "reads_env", "GEO_VERBOSE") in geo.attributes
    assert ("main", "entry_point", "main") in geo.attributes


def test_calls_go_through_containers_and_smart_pointers(geo):
    assert geo.targets("calls", "geo.Scene.total")["geo.Shape.area"] == "element type"


def test_locals_and_using_declarations_have_types(geo):
    assert geo.targets("instantiates", "main")["geo.Circle"]
    assert {"geo.Circle.area", "geo.Scene.total"} <= set(geo.targets("calls", "main"))


def test_virtual_methods_are_overridden(geo):
    assert geo.targets("overrides", "geo.Circle.area") == {"geo.Shape.area": "inherited name"}


def test_includes_are_files_of_ours_or_from_outside(geo):
    assert geo.targets("imports", "src/shape.cpp") == {
        "include/geo/shape.h": "include", "cstdlib": "include", "include/geo/error.h": "include",
    }  # fmt: skip


def test_a_test_macro_makes_a_test(geo):
    assert "geo.Circle.area" in geo.targets("tests", "CircleTest.KnowsItsArea")


def test_c_headers_are_read(geo):
    distance = geo.symbols["point_distance"]
    assert distance.docstring == "Distance of two points."
    assert [p.name for p in distance.parameters] == ["a", "b"]


def test_a_function_that_is_not_included_is_not_meant(link):
    linked = link(
        {
            "a.cc": "static void helper() {}",
            "b.cc": "void run() { helper(); }",
        }
    )
    assert not linked.targets("calls", "run")
    assert ("calls", "helper", "UnknownName") in linked.unresolved


def test_a_nested_namespace_does_not_lend_its_names(link):
    linked = link({"a.cc": "namespace n { namespace d { void f() {} } void run() { f(); } }"})
    assert not linked.targets("calls", "n.run")


def test_an_export_macro_does_not_hide_a_class(link):
    linked = link({"a.h": "class MY_EXPORT A : public B { public: void go(); };\nclass B {};"})
    assert linked.symbols["A"].signature == "class MY_EXPORT A : public B"
    assert linked.symbols["A.go"].kind == "method"


@pytest.mark.parametrize(
    "source", [b"class X_API A {\n};", b"#define X_API y\nX_API int f();", b"int a GUARDED_BY(mu);"]
)
def test_blanking_macros_moves_no_byte(source):
    assert len(blank(source)) == len(source)
    assert blank(source).count(b"\n") == source.count(b"\n")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("ASSERT_TRUE(x);", "Macro"),
        ("missing();", "UnknownName"),
        ("auto x = f_(); x.go();", "UnknownName"),
        ("[](int q) { q.go(); };", "LocalValue"),
    ],
)
def test_what_no_rule_resolves_says_why(link, body, reason):
    assert reason in {why for _, _, why in link({"a.cc": f"void run() {{ {body} }}"}).unresolved}
