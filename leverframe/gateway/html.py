"""HTML in which text can't be anything but text: a string becomes visible characters, escaped."""

import html
from collections.abc import Iterable

from leverframe.model.untrusted import Untrusted

_VOID = frozenset({"link", "meta", "meter"})
_LONGEST = 20_000
"""Characters of one text; more is cut."""


class Html:
    """Markup that this module made. It is no string, so that none is taken for it."""

    __slots__ = ("_markup",)

    def __init__(self, markup: str) -> None:
        self._markup = markup

    def document(self) -> str:
        """The markup, to be sent."""
        return self._markup


Content = Html | str | None | Iterable["Content"]
"""What an element holds: markup, text from anywhere, nothing, or several of them."""


def el(tag: str, /, *content: Content, **attributes: str | bool | None) -> Html:
    """One element. `class_` and the like lose their underscore, others become hyphens; None is left out."""
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if tag in _VOID and not content:
        return Html(f"<{tag}{told}>")
    return Html(f"<{tag}{told}>{''.join(_markup(each) for each in content)}</{tag}>")


def page(title: str, *, head: Content, body: Content) -> str:
    """A whole document in English."""
    return "<!doctype html>\n" + (
        el(
            "html",
            el("head", el("meta", charset="utf-8"), el("title", title), head),
            el("body", body),
            lang="en",
        ).document()
    )


def _markup(content: Content) -> str:
    match content:
        case None:
            return ""
        case Html():
            return content.document()
        case str():
            # Without control and bidirectional characters: a name must not turn around what stands beside it.
            return html.escape(Untrusted(content).for_model(_LONGEST))
        case _:
            return "".join(_markup(each) for each in content)


def _attribute(key: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{html.escape(Untrusted(value).for_terminal(_LONGEST))}"'
