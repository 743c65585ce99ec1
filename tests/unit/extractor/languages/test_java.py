"""What Java sources say, and what names in them mean."""

import pytest

ORDER = "com.acme.orders.Order"
CONTROLLER = "com.acme.orders.web.OrderController"


@pytest.fixture(scope="module")
def orders(package):
    return package("java")


def test_a_class_has_its_package_its_javadoc_and_the_source_of_its_head(orders):
    symbol = orders.symbols[ORDER]
    assert symbol.kind == "class"
    assert symbol.signature == "public class Order implements Priced"
    assert symbol.docstring == "An order: lines of goods for one customer."


def test_a_method_has_parameters_and_returns_as_written(orders):
    add = orders.symbols[f"{ORDER}.add"]
    assert [(p.annotation, p.name) for p in add.parameters] == [
        ("String", "sku"), ("int", "quantity"), ("int", "unitCents"),
    ]  # fmt: skip
    assert add.returns == "Order"


def test_annotations_are_no_part_of_a_signature(orders):
    show = orders.symbols[f"{CONTROLLER}.show"]
    assert show.signature == "public Order show(String id)"
    assert show.decorators == ('@GetMapping("/{id}")',)


def test_static_final_fields_interface_fields_and_enum_members_are_constants(orders):
    assert orders.symbols[f"{ORDER}.CURRENCY"].value == '"EUR"'
    assert orders.symbols["com.acme.orders.Priced.MAX_CENTS"].value == "1_000_000"
    assert orders.symbols[f"{ORDER}.Status.PAID"].kind == "constant"


def test_visibility_is_that_of_the_word_and_public_in_interfaces(orders):
    assert orders.symbols[f"{ORDER}.id"].visibility == "public"
    assert orders.symbols[f"{ORDER}.lines"].visibility == "private"
    assert orders.symbols["com.acme.orders.Priced.cents"].visibility == "public"


def test_a_class_below_an_exception_of_java_is_an_exception(orders):
    assert orders.kinds["com.acme.orders.OrderException"] == "exception"


def test_a_raise_site_has_message_and_condition(orders):
    assert ("OrderException", "quantity must be positive", "quantity <= 0") in orders.raises
    assert ("IllegalStateException", "store is full", "orders.size() >= CAPACITY") in orders.raises


def test_routes_join_the_paths_of_class_and_method(orders):
    routes = {(s, v) for s, key, v in orders.attributes if key == "route"}
    assert routes == {
        (f"{CONTROLLER}.show", "GET /orders/{id}"),
        (f"{CONTROLLER}.create", "POST /orders/new"),
        (f"{CONTROLLER}.audit", "DELETE /orders/audit"),
    }


def test_environment_and_entry_point_are_recorded(orders):
    region = "com.acme.orders.store.OrderStore.region"
    assert (region, "reads_env", "ORDERS_REGION") in orders.attributes
    assert (f"{CONTROLLER}.main", "entry_point", "main") in orders.attributes


def test_calls_follow_declared_types_of_fields_parameters_and_locals(orders):
    assert orders.targets("calls", f"{CONTROLLER}.show") == {
        "com.acme.orders.store.OrderStore.find": "declared type"
    }
    assert f"{ORDER}.Line.cents" in orders.targets("calls", f"{ORDER}.cents")


def test_a_call_on_a_new_object_and_on_what_a_method_returns_is_followed(orders):
    assert orders.targets("calls", f"{CONTROLLER}.create")[f"{ORDER}.add"] == "constructed type"


def test_a_lambda_belongs_to_the_method_around_it(orders):
    assert "com.acme.orders.store.OrderStore.close" in orders.targets(
        "calls", f"{CONTROLLER}.audit"
    )


def test_implemented_methods_override(orders):
    assert orders.targets("overrides", f"{ORDER}.cents") == {
        "com.acme.orders.Priced.cents": "inherited name"
    }
    assert "com.acme.orders.Priced" in orders.targets("implements", ORDER)


def test_a_test_tests_what_it_calls(orders):
    assert {ORDER, f"{ORDER}.add", f"{ORDER}.cents"} == set(
        orders.targets("tests", "com.acme.orders.OrderTest.addsUpItsLines")
    )


def test_a_name_imported_from_outside_is_never_a_namesake_of_ours(link):
    linked = link(
        {
            "a/Client.java": "package a; public class Client { public void send() {} }",
            "b/Use.java": "package b; import org.http.Client;\n"
            "class Use { void run(Client client) { client.send(); } }",
        }
    )
    assert linked.targets("calls", "b.Use.run") == {"org.http.Client.send": "declared type"}


def test_overloads_are_told_apart_by_number_and_by_type(link):
    linked = link(
        {
            "a/A.java": """package a;
            class A {
              void put(String text) {} void put(int number) {} void put(String text, int times) {}
              void run() { put("x"); put("x", 2); }
            }"""
        }
    )
    assert ("calls", "a.A.run", "a.A.put", "enclosing class, overload") in linked.edges
    assert not linked.unresolved


def test_overloads_that_cannot_be_told_apart_stay_unresolved(link):
    source = "package a; class A { void put(B b) {} void put(C c) {} void run() { put(make()); } }"
    linked = link({"a/A.java": source})
    assert ("calls", "put", "AmbiguousOverload") in linked.unresolved


def test_an_inherited_method_is_found_through_type_arguments(link):
    linked = link(
        {
            "a/Box.java": "package a; class Box<T> { T value() { return null; } }",
            "a/Item.java": "package a; class Item { void use() {} }",
            "a/Items.java": "package a; class Items extends Box<Item> "
            "{ void run() { value().use(); } }",
        }
    )
    assert linked.targets("calls", "a.Items.run") == {
        "a.Box.value": "inherited member",
        "a.Item.use": "return type",
    }


def test_an_anonymous_class_does_not_lend_its_names_to_the_class_around(link):
    linked = link(
        {
            "a/A.java": """package a;
            class A {
              void step() {}
              void run() { new Runnable() { public void run() { step(); } void step() {} }; }
            }"""
        }
    )
    assert "a.A.step" not in linked.targets("calls", "a.A.run")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("list.forEach(x -> x.go());", "LocalValue"),
        ("missing();", "UnknownName"),
        ("new A().gone();", "NoSuchMember"),
        ("Remote.find().go();", "UnknownName"),
    ],
)
def test_what_no_rule_resolves_says_why(link, body, reason):
    linked = link(
        {"a/A.java": f"package a; class A {{ void run(java.util.List list) {{ {body} }} }}"}
    )
    assert reason in {why for _, _, why in linked.unresolved}
