"""What a tree may contain before Terraform sees it: read, never run.

Terraform runs with dev's credentials, and its language can run programs: provisioners, the `external` data
source, any provider, any module from elsewhere. All of that is refused here unless the settings allow it.
This is the first of two fences. The second is Terraform itself, which installs no provider but the allowed
ones and whose own list of modules and own plan are looked at before anything is applied.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2
from hcl2.utils import SerializationOptions
from lark.exceptions import LarkError

from leverframe.model.untrusted import Untrusted

BUILT_IN = "terraform.io/builtin/terraform"
LOCK_FILE = ".terraform.lock.hcl"

_NATIVE, _JSON = (".tf", ".tofu"), (".tf.json", ".tofu.json")
_MOST_BYTES = 1_000_000
_MOST_FILES = 2000
_MOST_REFUSALS = 10
_DEFAULT_HOSTS = ("registry.terraform.io/", "registry.opentofu.org/")
_PLAIN = SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)

# The name of a block has no escapes and no quotes, so these letters stand in the file wherever Terraform
# would see a provisioner, however our parser and Terraform's may differ about the rest.
_PROVISIONER = re.compile(r"""(?<![\w".-])provisioner(?![\w-])(?:\s|/\*.*?\*/)*["\w]""", re.DOTALL)

Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TreeRules:
    """What the platform team allows. Nothing of it is read from the tree."""

    providers: tuple[str, ...] = ()
    """`hashicorp/aws`, or with the host of another registry."""
    modules: tuple[str, ...] = ()
    """Sources outside the tree, exactly as the tree writes them."""
    state_backend: str = ""
    """The type that the root module must declare; empty: any."""
    needs_state_backend: bool = True
    """Whether the root module itself must say where its state is."""

    def allows_provider(self, address: str) -> bool:
        """Whether a provider may be used; the one that is built in always."""
        known = {_short(each) for each in self.providers}
        return address == BUILT_IN or _short(address) in known

    def allows_module(self, source: str) -> bool:
        """Whether a source is in the tree, as far as its text says, or allowed by name."""
        return source.startswith(("./", "../")) or source in self.modules


class _Unreadable(Exception):
    """A file that can't be looked into; the sentence says why."""


def refusals(tree: Path, directory: str, rules: TreeRules) -> list[str]:
    """Why the root module at `directory` must not be run: one sentence each; empty when it may."""
    tree = tree.resolve()
    root = (tree / directory).resolve()
    if not root.is_relative_to(tree) or not root.is_dir():
        return [f"there is no directory {directory} in the tree"]
    found: list[str] = []
    waiting, seen, files = [root], {root}, 0
    while waiting and len(found) < _MOST_REFUSALS:
        module = _Module(tree, waiting.pop(), rules)
        files += len(module.paths)
        if files > _MOST_FILES:
            return [f"there are more than {_MOST_FILES} Terraform files"]
        found += module.refusals(root=module.place == root)
        for place in module.local_modules():
            if place not in seen:
                seen.add(place)
                waiting.append(place)
    return found[:_MOST_REFUSALS]


class _Module:
    """One directory of configuration."""

    def __init__(self, tree: Path, place: Path, rules: TreeRules) -> None:
        self.place = place
        self.paths = sorted(path for path in place.iterdir() if path.name.endswith((*_NATIVE, *_JSON)))
        self._tree = tree
        self._rules = rules
        self._documents: list[tuple[str, Body]] = []
        self._problems: list[str] = []
        for path in self.paths:
            self._take(path)

    def refusals(self, *, root: bool) -> list[str]:
        """What stands against this directory."""
        if root and not self.paths:
            return [f"{self._name(self.place)} holds no Terraform file"]
        found = [*self._problems, *self._of_modules(), *self._of_providers()]
        if root:
            found += [*self._of_lock_file(), *self._of_state()]
        return found

    def local_modules(self) -> list[Path]:
        """The directories in the tree that it calls."""
        return [place for _, source in self._sources() if (place := self._inside(source)) is not None]

    def _take(self, path: Path) -> None:
        name = self._name(path)
        try:
            text = _text(path, self._tree)
            if path.name.endswith(_JSON):
                document = _from_json(text)
                self._problems += _provisioners_in(name, document)
            else:
                if match := _PROVISIONER.search(text):
                    self._problems.append(_refused_provisioner(name, text.count("\n", 0, match.start()) + 1))
                document = _from_native(text)
        except _Unreadable as error:
            self._problems.append(f"{name} {error}")
        else:
            self._documents.append((name, document))

    def _of_modules(self) -> Iterator[str]:
        for name, source in self._sources():
            shown = Untrusted(source).for_terminal(100)
            if not self._rules.allows_module(source):
                yield f"{name} has a module from {shown}, which terraform.modules does not allow"
            elif source.startswith(".") and self._inside(source) is None:
                yield f"{name} has a module from {shown}, which is no directory of the tree"

    def _of_providers(self) -> Iterator[str]:
        declared: dict[str, str] = {}
        for _, document in self._documents:
            declared |= _required_providers(document)
        used = {local: address for name, document in self._documents for local, address in _used(document)}
        for address in sorted({*declared.values(), *(declared.get(local, used[local]) for local in used)}):
            if not self._rules.allows_provider(address):
                yield self._refused_provider(self._name(self.place), address)

    def _of_lock_file(self) -> Iterator[str]:
        path = self.place / LOCK_FILE
        if not path.exists():
            return
        try:
            document = _from_native(_text(path, self._tree))
        except _Unreadable as error:
            yield f"{self._name(path)} {error}"
            return
        for (address,), _ in _bodies(document.get("provider"), 1):
            if not self._rules.allows_provider(address):
                yield self._refused_provider(self._name(path), address)

    def _of_state(self) -> Iterator[str]:
        kinds = []
        for _, document in self._documents:
            for _, terraform in _bodies(document.get("terraform"), 0):
                kinds += [kind for (kind,), _ in _bodies(terraform.get("backend"), 1)]
                kinds += ["cloud" for _ in _bodies(terraform.get("cloud"), 0)]
        if not self._rules.needs_state_backend:
            return
        wanted, name = self._rules.state_backend, self._name(self.place)
        if not kinds:
            yield f"{name} declares no state backend: its state would be lost after each run"
        for kind in kinds:
            shown = Untrusted(kind).for_terminal(60)
            if kind == "cloud":
                yield f'{name} keeps its state in Terraform Cloud: set terraform.backend = "cloud"'
            elif wanted and kind != wanted:
                yield f"{name} keeps its state in {shown!r}, and terraform.state_backend is {wanted!r}"

    def _sources(self) -> Iterator[tuple[str, str]]:
        for name, document in self._documents:
            for _, body in _bodies(document.get("module"), 1):
                yield name, str(body.get("source", ""))

    def _inside(self, source: str) -> Path | None:
        """The directory of a relative source, if it is one of the tree."""
        place = (self.place / source).resolve()
        inside = source.startswith(("./", "../")) and place.is_relative_to(self._tree) and place.is_dir()
        return place if inside else None

    def _name(self, path: Path) -> str:
        return Untrusted(str(path.relative_to(self._tree))).for_terminal(100)

    @staticmethod
    def _refused_provider(name: str, address: str) -> str:
        shown = Untrusted(_short(address)).for_terminal(100)
        return f"{name} uses the provider {shown}, which terraform.providers does not allow"


def _text(path: Path, tree: Path) -> str:
    resolved = path.resolve()
    if not resolved.is_relative_to(tree) or not resolved.is_file():
        raise _Unreadable("is no file of the tree")
    if resolved.stat().st_size > _MOST_BYTES:
        raise _Unreadable(f"is longer than {_MOST_BYTES} bytes")
    try:
        return resolved.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _Unreadable("is not UTF-8") from None


def _from_native(text: str) -> Body:
    try:
        document: Body = hcl2.loads(text + "\n", serialization_options=_PLAIN)
    except (LarkError, RecursionError, ValueError, TypeError, KeyError, AttributeError):
        raise _Unreadable("can't be parsed, so nobody knows what it would run") from None
    return document


def _from_json(text: str) -> Body:
    """One object. A repeated key is refused: parsers differ about which one counts."""

    def once(pairs: list[tuple[str, Any]]) -> Body:
        if len({name for name, _ in pairs}) != len(pairs):
            raise _Unreadable("has a key twice in one object")
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise _Unreadable("is not JSON") from None
    if not isinstance(document, dict):
        raise _Unreadable("is not a JSON object")
    return document


def _bodies(value: Any, labels: int) -> Iterator[tuple[tuple[str, ...], Body]]:
    """Blocks with so many labels, in the shapes that both syntaxes have: lists and objects of objects."""
    if isinstance(value, list):
        for each in value:
            yield from _bodies(each, labels)
    elif isinstance(value, dict) and labels == 0:
        yield (), value
    elif isinstance(value, dict):
        for name, inner in value.items():
            for names, body in _bodies(inner, labels - 1):
                yield (str(name), *names), body


def _provisioners_in(name: str, document: Body) -> Iterator[str]:
    acting = [body for _, body in _bodies(document.get("resource"), 2)]
    acting += [body for _, body in _bodies(document.get("removed"), 0)]
    if any("provisioner" in body for body in acting):
        yield _refused_provisioner(name, None)


def _refused_provisioner(name: str, line: int | None) -> str:
    place = name if line is None else f"{name}:{line}"
    return f"{place} has a provisioner, which would run a command with dev's credentials"


def _required_providers(document: Body) -> dict[str, str]:
    """Local name → address, as `required_providers` says."""
    found: dict[str, str] = {}
    for _, terraform in _bodies(document.get("terraform"), 0):
        for _, required in _bodies(terraform.get("required_providers"), 0):
            for local, about in required.items():
                source = about.get("source") if isinstance(about, dict) else None
                found[local] = _short(str(source)) if source else _implied(local)
    return found


def _used(document: Body) -> Iterator[tuple[str, str]]:
    """Local name and implied address of every provider that a block needs or configures."""
    for (local,), _ in _bodies(document.get("provider"), 1):
        yield local, _implied(local)
    blocks = [document, *(body for _, body in _bodies(document.get("check"), 1))]
    for kind in ("resource", "data", "ephemeral", "action", "list"):
        for block in blocks:
            for (typed, _), body in _bodies(block.get(kind), 2):
                said = str(body.get("provider", "")).removeprefix("${").removesuffix("}")
                local = said.partition(".")[0] or typed.partition("_")[0]
                yield local, _implied(local)


def _implied(local: str) -> str:
    return BUILT_IN if local == "terraform" else f"hashicorp/{local}"


def _short(address: str) -> str:
    """An address without the host of the default registry."""
    for host in _DEFAULT_HOSTS:
        address = address.removeprefix(host)
    return address
