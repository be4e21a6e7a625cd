"""The shop as a customer sees it."""

import pytest
from openfeature import api
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider
from starlette.testclient import TestClient

from shop.app import create_app


def check_out(client, *lines):
    body = {"lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines]}
    return client.post("/checkout", json=body)


def test_the_home_page_greets(client):
    assert client.get("/").json()["message"].startswith("Welcome")


def test_the_service_says_that_it_is_healthy(client):
    assert client.get("/health").json() == {"status": "ok"}


def test_the_catalogue_lists_every_product_with_its_price(client):
    products = {product["sku"]: product["price"] for product in client.get("/catalogue").json()["products"]}
    assert products["mug"] == 1500
    assert len(products) == 7


def test_a_checkout_sums_the_lines(client):
    answer = check_out(client, ("mug", 2), ("green-tea", 1))
    assert answer.status_code == 201
    assert answer.json()["total"] == 2 * 1500 + 990


def test_an_order_is_found_by_its_number(client):
    order = check_out(client, ("mug", 1)).json()
    assert client.get(f"/orders/{order['number']}").json() == order


def test_an_archived_order_is_found(client):
    assert client.get("/orders/1007").json()["total"] == 2490


def test_an_unknown_order_is_not_found(client):
    assert client.get("/orders/7").status_code == 404


@pytest.mark.parametrize(
    "body",
    ["{}", "[]", '{"lines": []}', '{"lines": [1]}', '{"lines": [{"sku": "moon"}]}']
    + [
        f'{{"lines": [{{"sku": "mug", "quantity": {quantity}}}]}}' for quantity in ("0", "100", "true", '"2"')
    ],
)
def test_a_bad_cart_is_refused_with_a_reason(client, body):
    answer = client.post("/checkout", content=body)
    assert answer.status_code == 422
    assert answer.text


def test_a_body_that_is_not_json_is_refused(client):
    assert client.post("/checkout", content="{lines").status_code == 400


def test_express_checkout_promises_the_next_day_for_small_carts(client, switch):
    switch("express-checkout")
    small, large = [("mug", 1)], [("mug", 1), ("strainer", 1), ("green-tea", 1), ("black-tea", 1)]
    assert check_out(client, *small).json()["delivery_days"] == 1
    assert check_out(client, *large).json()["delivery_days"] == 3


def test_gift_wrap_takes_strong_paper_for_heavy_parcels(client, switch):
    switch("gift-wrap")
    assert check_out(client, ("mug", 1)).json()["paper"] == "tissue"
    assert check_out(client, ("teapot", 2)).json()["paper"] == "kraft"


def test_an_answer_tells_which_flags_it_depends_on(client, switch):
    switch("gift-wrap")
    assert check_out(client, ("mug", 1)).headers["Leverframe-Flags"] == "gift-wrap=on"
    assert "Leverframe-Flags" not in client.get("/catalogue").headers


def test_an_answer_that_failed_tells_it_too(switch):
    switch("gift-wrap")
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        answer = check_out(client, ("gift-card", 1))
    assert (answer.status_code, answer.headers["Leverframe-Flags"]) == (500, "gift-wrap=on")


def test_a_flag_is_evaluated_for_the_customer_of_the_request(client):
    asked = []

    def given(flag, context):
        asked.append(context.targeting_key)
        return FlagResolutionDetails(True, variant="on")

    flag = InMemoryFlag("on", {"on": True, "off": False}, context_evaluator=given)
    api.set_provider_and_wait(InMemoryProvider({"gift-wrap": flag}))
    client.post("/checkout", json={"lines": [{"sku": "mug"}]}, headers={"X-Customer": "ada"})
    check_out(client, ("mug", 1))
    assert asked == ["ada", "anonymous"]
