"""YAML that remembers its lines: plain data, and the line on which each part of it stands."""

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

MAX_BYTES = 65_536
"""A policy that a person can review is far smaller; a larger file is refused unread."""

MAX_DEPTH = 50
"""Open brackets: reading takes the square of them, and no rule is nested deeper than six."""

Path = tuple[str | int, ...]
"""How to reach a part: `("limits", 0, "max")`."""


class Unreadable(Exception):
    """The text is no YAML that we accept. Carries the line, counted from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def dotted(path: Path) -> str:
    """`limits.0.max`: a path as one key."""
    return ".".join(str(part) for part in path)


def read(text: str) -> tuple[object, dict[str, int]]:
    """Plain data of one YAML 1.2 document, and dotted path → line, counted from 1.

    Duplicate keys, keys that are no words, aliases and merge keys are refused: each rule stands once, where
    it can be read.

    Raises:
        Unreadable: the text is not such a document.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise Unreadable(1, f"the file is larger than {MAX_BYTES} bytes")
    if _open_brackets(text) > MAX_DEPTH:
        raise Unreadable(1, "the document is nested too deeply")
    try:
        root = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 1, str(error.problem or error.context)) from error
    except (YAMLError, ValueError) as error:
        raise Unreadable(1, str(error).strip().splitlines()[0]) from error
    except RecursionError as error:
        raise Unreadable(1, "the document is nested too deeply") from error
    lines: dict[str, int] = {}
    return _plain(root, (), 1, lines, set()), lines


def _open_brackets(text: str) -> int:
    """The most brackets that are open at once; those in texts and comments count, too."""
    depth = deepest = 0
    for char in text:
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}" and depth:
            depth -= 1
    return deepest


def _plain(node: object, path: Path, line: int, lines: dict[str, int], seen: set[int]) -> object:
    lines[dotted(path)] = line
    if not isinstance(node, CommentedMap | CommentedSeq):
        return node
    if id(node) in seen:
        raise Unreadable(line, "aliases are not allowed: write the rule where it applies")
    seen.add(id(node))
    if isinstance(node, CommentedSeq):
        return [
            _plain(item, (*path, at), node.lc.item(at)[0] + 1, lines, seen) for at, item in enumerate(node)
        ]
    if node.merge:
        raise Unreadable(line, "merge keys are not allowed: write the rule where it applies")
    for key in node:
        if not isinstance(key, str):
            raise Unreadable(node.lc.key(key)[0] + 1, f"the key {key} is not a word: put it in quotes")
    return {
        str(key): _plain(value, (*path, str(key)), node.lc.key(key)[0] + 1, lines, seen)
        for key, value in node.items()
    }
