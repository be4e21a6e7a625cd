"""Where a test's file lies, when no path that a report told is one of the commit.

By what the report calls the file, the suite or the class, and only where exactly one file of the commit fits:
policy forbids by paths, so that a guess would be worse than not to know.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

MOST_FILES = 300_000
"""Files of a commit that are looked through."""
_NAMED_BY_MODULE = (".java", ".kt", ".groovy", ".scala", ".py")
"""Files whose dotted names are the names of the classes or modules in them."""
_LONGEST = 500
_MOST_PARTS = 24


class TestPlaces:
    """The files of a commit, by their names."""

    __test__ = False
    """It is no test, whatever pytest makes of its name."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        for path in paths:
            self._by_name[path.rpartition("/")[2]].append(path)

    def ending_with(self, told: str) -> list[str]:
        """Files whose paths end with what was told of a path; none for what can't be a file's."""
        tail = told.replace("\\", "/").removeprefix("./")
        if not tail.isprintable() or len(tail) > _LONGEST or "." not in tail.rpartition("/")[2]:
            return []
        return [
            path for path in self._by_name.get(tail.rpartition("/")[2], ()) if f"/{path}".endswith(f"/{tail}")
        ]

    def of_name(self, test: str) -> str:
        """The one file that a test's identity fits; empty where none does, or several.

        >>> TestPlaces(["cart/src/test/java/com/acme/CartTest.java"]).of_name("com.acme.CartTest::pays")
        'cart/src/test/java/com/acme/CartTest.java'
        """
        *places, _ = test.split("::") if "::" in test else (test, "")
        for place in places[:2]:
            for found in (self.ending_with(place), *map(self._of_module, _modules(place))):
                if found:
                    return the_only(found)
        return ""

    def _of_module(self, stem: str) -> list[str]:
        return [path for suffix in _NAMED_BY_MODULE for path in self.ending_with(stem + suffix)]


def the_only(paths: Sequence[str]) -> str:
    """The path, where there is one that can be told of; else an empty one."""
    return paths[0] if len(paths) == 1 and len(paths[0]) <= _LONGEST and paths[0].isprintable() else ""


def _modules(name: str) -> Iterator[str]:
    """The paths, without their ends, of what a dotted name may be the module or the class of.

    Inner classes are left out one by one. A name of one part says too little: a title may be one word.
    """
    parts = name.partition("$")[0].split(".")
    if len(parts) > _MOST_PARTS or not all(part.isidentifier() for part in parts):
        return
    while len(parts) > 1:
        yield "/".join(parts)
        if not parts[-1][:1].isupper():
            return
        parts.pop()
