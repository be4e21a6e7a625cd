"""The routes."""

import json
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from shop import cart, catalogue, flags, words
from shop.checkout import check_out
from shop.orders import OrderBook


def create_app() -> flags.Told:
    """A shop with an order book of its own."""
    book = OrderBook()

    async def home(request: Request) -> JSONResponse:
        return JSONResponse({"message": words.GREETING})

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def products(request: Request) -> JSONResponse:
        return JSONResponse({"products": catalogue.listing()})

    async def checkout(request: Request) -> JSONResponse:
        try:
            lines = cart.read(json.loads(await request.body()))
        except (ValueError, RecursionError):
            raise HTTPException(400, "The body is not JSON.") from None
        except cart.BadCart as bad:
            raise HTTPException(422, str(bad)) from bad
        return JSONResponse(asdict(check_out(lines, book)), status_code=201)

    async def order(request: Request) -> JSONResponse:
        found = book.find(request.path_params["number"])
        if found is None:
            raise HTTPException(404, "There is no such order.")
        return JSONResponse(asdict(found))

    shop = Starlette(
        routes=[
            Route("/", home),
            Route("/health", health),
            Route("/catalogue", products),
            Route("/checkout", checkout, methods=["POST"]),
            Route("/orders/{number:int}", order),
        ]
    )
    return flags.Told(shop)
