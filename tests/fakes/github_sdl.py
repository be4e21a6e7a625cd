"""GitHub's GraphQL schema, cut down to what our questions name."""

from collections.abc import Iterator
from dataclasses import fields, replace

from graphql import (
    DefinitionNode,
    DocumentNode,
    FieldNode,
    InterfaceTypeDefinitionNode,
    NamedTypeNode,
    Node,
    ObjectTypeDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    UnionTypeDefinitionNode,
    Visitor,
    build_schema,
    parse,
    print_ast,
    validate,
    visit,
)

from activities.backends import github_queue_answers, refs_github

QUESTIONS = (*github_queue_answers.QUESTIONS, *refs_github.QUESTIONS)


class _Fields(Visitor):
    """Type → the fields of it that the questions name."""

    def __init__(self, info: TypeInfo) -> None:
        super().__init__()
        self._info = info
        self.used: dict[str, set[str]] = {}

    def enter_field(self, node: FieldNode, *_: object) -> None:
        parent = self._info.get_parent_type()
        if parent is not None:
            self.used.setdefault(parent.name, set()).add(node.name.value)


def trimmed_sdl(sdl: str) -> str:
    """The schema language of exactly what `QUESTIONS` need.

    Raises:
        ValueError: a question is not valid in GitHub's schema.
    """
    schema = build_schema(sdl, assume_valid=True)
    info = TypeInfo(schema)
    seen = _Fields(info)
    for question in QUESTIONS:
        document = parse(question)
        if problems := validate(schema, document):
            raise ValueError(f"{problems[0]}\n{question}")
        visit(document, TypeInfoVisitor(info, seen))
    definitions = {each.name.value: each for each in parse(sdl, no_location=True).definitions}  # type: ignore[attr-defined]
    kept = _reachable(definitions, seen.used)
    return print_ast(DocumentNode(definitions=tuple(kept[name] for name in sorted(kept))))


def _reachable(
    definitions: dict[str, DefinitionNode], used: dict[str, set[str]]
) -> dict[str, DefinitionNode]:
    kept: dict[str, DefinitionNode] = {}
    waiting = sorted(used)
    while waiting:
        name = waiting.pop()
        if name in kept or name not in definitions:
            continue
        kept[name] = visit(_cut(definitions[name], used), _Bare())
        waiting.extend(_named(kept[name]))
    return kept


def _cut(node: DefinitionNode, used: dict[str, set[str]]) -> DefinitionNode:
    """A definition without the fields, members and interfaces that no question names."""
    if isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
        wanted = used.get(node.name.value, set())
        return replace(
            node,
            fields=tuple(field for field in node.fields or () if field.name.value in wanted),
            interfaces=tuple(each for each in node.interfaces or () if each.name.value in used),
        )
    if isinstance(node, UnionTypeDefinitionNode):
        return replace(node, types=tuple(each for each in node.types or () if each.name.value in used))
    return node


class _Bare(Visitor):
    """Takes away prose and directives."""

    def leave(self, node: Node, *_: object) -> Node:
        names = {field.name for field in fields(node)}
        bare = {"description": None, "directives": ()}
        return replace(node, **{name: value for name, value in bare.items() if name in names})


def _named(node: Node) -> Iterator[str]:
    """The names of all types that a definition refers to."""
    found: list[str] = []

    class Names(Visitor):
        def enter_named_type(self, named: NamedTypeNode, *_: object) -> None:
            found.append(named.name.value)

    visit(node, Names())
    return iter(found)
