"""What TypeScript and JavaScript sources say, and what names in them mean."""

import pytest

TRACKER = "src.server.Tracker"


@pytest.fixture(scope="module")
def tracking(package):
    return package("typescript")


def test_a_module_is_named_by_its_path_and_index_by_its_folder(tracking):
    assert tracking.symbols["src.carriers.swift"].kind == "module"
    assert tracking.symbols["src.carriers"].kind == "module"


def test_declarations_have_kind_signature_and_jsdoc(tracking):
    state = tracking.symbols["src.carriers.base.ParcelState"]
    assert (state.kind, state.docstring) == ("enum", "States that a parcel passes through.")
    locate = tracking.symbols["src.carriers.swift.SwiftCarrier.locate"]
    assert locate.signature == "async locate(parcelId: string): Promise<ParcelState>"
    assert locate.returns == "Promise<ParcelState>"
    assert tracking.symbols["src.carriers.base.ParcelState.Moving"].value == '"moving"'


def test_an_arrow_in_a_constant_is_a_function(tracking):
    assert tracking.symbols["src.server.Badge"].kind == "function"
    assert tracking.symbols["src.legacy.shorten"].kind == "function"


def test_constructor_parameters_with_a_modifier_are_fields(tracking):
    field = tracking.symbols[f"{TRACKER}.carrier"]
    assert (field.kind, field.visibility) == ("variable", "private")


def test_what_a_module_exports_is_public_in_both_module_systems(tracking):
    assert tracking.symbols["src.legacy.trackingAddress"].visibility == "public"
    assert tracking.symbols["src.legacy.DEFAULT_LIMIT"].visibility == "private"
    assert tracking.symbols["src.server.tracker"].visibility == "private"


def test_errors_are_exceptions_and_raise_sites_have_their_condition(tracking):
    assert tracking.kinds["src.errors.UnknownParcelError"] == "exception"
    assert (
        "UnknownParcelError", "unknown parcel", "response.status === 404",
    ) in tracking.raises  # fmt: skip


def test_routes_and_environment_are_recorded(tracking):
    assert ("src.server", "route", "GET /parcels/:id") in tracking.attributes
    token = "src.carriers.swift.SwiftCarrier.token"
    assert (token, "reads_env", "SWIFT_TOKEN") in tracking.attributes
    assert ("src.server.listen", "reads_env", "PORT") in tracking.attributes


def test_imports_go_through_index_files_and_renamed_defaults(tracking):
    assert tracking.targets("imports", "src.server") == {
        "express": "import",
        "src.carriers.base.Carrier": "re-export",
        "src.carriers.swift.SwiftCarrier": "re-export",
        "src.errors": "import",
    }


def test_calls_follow_this_declared_fields_and_base_classes(tracking):
    assert tracking.targets("calls", f"{TRACKER}.track") == {
        "src.carriers.base.Carrier.locate": "declared type",
        f"{TRACKER}.remember": "this",
    }
    locate = tracking.targets("calls", "src.carriers.swift.SwiftCarrier.locate")
    assert locate["src.carriers.base.HttpCarrier.checkId"] == "inherited member"
    assert locate["node-fetch"] == "import"


def test_an_element_is_a_call_of_its_component(tracking):
    assert tracking.targets("calls", "src.server.Page") == {"src.server.Badge": "same file"}


def test_require_is_an_import(tracking):
    assert tracking.targets("imports", "src.legacy") == {
        "path": "import",
        "src.carriers.swift.SWIFT_URL": "import",
    }


def test_what_a_test_runner_is_told_is_a_test(tracking):
    test = "test.server.test.Tracker.remembers what it saw"
    assert set(tracking.targets("tests", test)) == {
        TRACKER, f"{TRACKER}.track", "src.carriers.swift.SwiftCarrier",
    }  # fmt: skip


def test_a_name_imported_from_outside_is_never_a_namesake_of_ours(link):
    linked = link(
        {
            "client.ts": "export class Client { send() {} }",
            "use.ts": 'import { Client } from "http-client";\n'
            "export function run(client: Client) { client.send(); }",
        }
    )
    assert linked.targets("calls", "use.run") == {"http-client.Client.send": "declared type"}


def test_a_local_name_hides_an_import(link):
    linked = link(
        {
            "a.ts": "export function go() {}",
            "b.ts": 'import { go } from "./a";\nexport function run(go: () => void) { go(); }',
        }
    )
    assert not linked.targets("calls", "b.run")
    assert ("calls", "go", "LocalValue") in linked.unresolved


def test_an_awaited_promise_is_what_it_holds(link):
    linked = link(
        {
            "a.ts": "export class A { go() {} }\n"
            "export async function load(): Promise<A> { return new A(); }\n"
            "export async function run() { const a = await load(); a.go(); }"
        }
    )
    assert linked.targets("calls", "a.run") == {"a.load": "same file", "a.A.go": "return type"}


def test_a_field_that_a_javascript_constructor_assigns_has_the_type_of_its_value(link):
    linked = link(
        {
            "a.js": "class Store { save() {} }\n"
            "class Service { constructor() { this.store = new Store(); }\n"
            "  run() { this.store.save(); } }\n"
            "module.exports = { Service };"
        }
    )
    assert linked.targets("calls", "a.Service.run") == {"a.Store.save": "constructed type"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ('import { x } from "./gone"; x();', "ModuleNotFound"),
        ('import { x } from "@/lib"; x();', "PathAlias"),
        ("missing();", "UnknownName"),
        ("function f(cb) { cb(); }", "LocalValue"),
        ("const make = build(); make();", "UnknownName"),
    ],
)
def test_what_no_rule_resolves_says_why(link, source, reason):
    assert reason in {why for _, _, why in link({"a.ts": source}).unresolved}
