"""The duplicates that `script/duplicates.py` counts."""

from __future__ import annotations

from script.duplicates import DeclaredClass, declared_classes, repeated_names, twin_records

ROW = "class LeaseRow:\n    a: int\n    b: int\n    c: int\n    d: int\n    e: int\n"


def classes(**sources: str) -> list[DeclaredClass]:
    """The classes of modules that are named `package_module`."""
    return [each for name, source in sources.items() for each in declared_classes(source, name.replace("_", "."))]


def test_a_class_name_of_two_modules_is_counted_once():
    assert repeated_names(classes(api_lease="class Lease: ...", db_lease="class Lease: ...")) == [
        "Lease: api.lease, db.lease"
    ]


def test_private_classes_and_those_inside_functions_are_not_counted():
    source = "class _Lease: ...\ndef make():\n    class Lease: ...\n"
    assert repeated_names(classes(api_lease=source, db_lease=source)) == []


def test_records_of_two_packages_with_the_same_fields_are_twins():
    view = ROW.replace("LeaseRow", "LeaseView").replace("e: int", "f: int")
    assert twin_records(classes(api_lease=view, db_lease=ROW)) == [
        "api.lease.LeaseView and db.lease.LeaseRow: 4 of 5 fields"
    ]


def test_records_of_one_package_small_ones_and_different_ones_are_no_twins():
    small = ROW.replace("    e: int\n", "")
    other = ROW.replace("d: int", "x: int").replace("e: int", "y: int")
    assert twin_records(classes(db_lease=ROW, db_view=ROW)) == []
    assert twin_records(classes(db_lease=small, api_lease=small)) == []
    assert twin_records(classes(db_lease=ROW, api_lease=other)) == []


def test_records_of_the_client_are_counted_separately():
    found = classes(client_models=ROW, db_lease=ROW)
    assert twin_records(found) == []
    assert twin_records(found, separate=True) == ["client.models.LeaseRow and db.lease.LeaseRow: 5 of 5 fields"]


def test_a_view_with_the_fields_of_a_row_is_no_twin():
    assert twin_records(classes(db_lease=ROW, api_lease=ROW.replace("LeaseRow", "LeaseView(View, row=LeaseRow)"))) == []
