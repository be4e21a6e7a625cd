"""A test without a path lies in the one file that its name fits, or nobody knows where."""

import pytest

from activities.test_places import TestPlaces, the_only

TREE = (
    "cart/src/test/java/com/acme/CartTest.java",
    "cart/src/test/resources/com/acme/CartTest.xml",
    "a/src/test/kotlin/com/acme/TwiceTest.kt",
    "b/src/test/java/com/acme/TwiceTest.java",
    "payments/tests/test_pay.py",
    "web/e2e/cart.spec.ts",
    "src/cart.ts",
    "src/cart/total.ts",
)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("com.acme.CartTest::pays", TREE[0]),
        ("com.acme.CartTest$Inner::pays", TREE[0]),
        ("com.acme.CartTest.Inner::pays", TREE[0]),
        ("unit::com.acme.CartTest::pays", TREE[0]),
        ("com.acme.TwiceTest::pays", ""),
        ("com.acme.NoTest::pays", ""),
        ("acme.Cart::pays", ""),
        ("tests.test_pay.TestCard::test_pays", TREE[4]),
        ("tests.test_pay::test_pays", TREE[4]),
        ("cart.spec.ts::pays (chromium)", TREE[5]),
        ("./e2e/cart.spec.ts::pays", TREE[5]),
        ("cart::pays", ""),
        ("cart.total::adds", ""),
        ("cart adds", ""),
        ("", ""),
        ("::", ""),
        ("../tests/test_pay.py::x", ""),
        ("test_pay.py\x00::x", ""),
        (f"{'a.' * 900}B::x", ""),
    ],
)
def test_only_a_name_that_fits_exactly_one_file_says_where_a_test_lies(test: str, expected: str) -> None:
    assert TestPlaces(TREE).of_name(test) == expected


def test_a_path_that_was_told_from_a_folder_below_is_found_and_one_that_cant_be_told_is_not() -> None:
    places = TestPlaces([*TREE, f"{'x' * 500}/tests/long.py", "a\nb/odd.py"])
    assert places.ending_with("tests/test_pay.py") == [TREE[4]]
    assert places.ending_with("ests/test_pay.py") == []
    assert the_only(places.ending_with("tests/long.py")) == the_only(places.ending_with("odd.py")) == ""
