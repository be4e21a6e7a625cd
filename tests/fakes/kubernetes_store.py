"""What the fake of Kubernetes remembers: objects, their versions, and the events that a watch is told.

The rules are those of https://kubernetes.io/docs/reference/using-api/api-concepts/ and of custom resources:
`metadata.generation` counts changes outside of metadata and status; with a status subresource the main
resource ignores what is written to status, and `/status` ignores everything else.
"""

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fakes.kubernetes_kinds import Json, Kind, copied, kind_of

Key = tuple[str, str, str]
"""Plural, namespace, name."""
FIRST_VERSION = 1000
BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Problem(Exception):
    """An answer other than success, as a Status document says it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message

    def document(self) -> Json:
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": self.message, "reason": self.reason, "code": self.code}  # fmt: skip


@dataclass
class Event:
    version: int
    key: Key
    type: str
    document: Json


@dataclass
class Store:
    """Objects by key. Every method may be called from any thread; `changed` runs in the writer's."""

    objects: dict[Key, Json] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    version: int = FIRST_VERSION
    compacted: int = 0
    """Watches can't start from versions up to this one."""
    changed: list[Callable[[], None]] = field(default_factory=list)
    """Called after each write from outside, again and again until nothing is written: the controllers."""
    now: Callable[[], datetime] = field(default_factory=lambda: ticking(BEGAN))
    lock: threading.Condition = field(default_factory=lambda: threading.Condition(threading.RLock()))
    _settling: bool = False

    def get(self, kind: Kind, namespace: str, name: str) -> Json:
        with self.lock:
            return copied(self._at(kind, namespace, name))

    def list(self, kind: Kind, namespace: str, selector: str = "") -> list[Json]:
        with self.lock:
            return [
                copied(document)
                for (plural, where, _), document in sorted(self.objects.items())
                if plural == kind.plural and namespace in ("", where) and selected(document, selector)
            ]

    def create(self, kind: Kind, namespace: str, document: Json) -> Json:
        with self.lock:
            document = kind.cleaned(document)
            metadata = document.setdefault("metadata", {})
            name = metadata.get("name") or f"{metadata.get('generateName', '')}{uuid.uuid4().hex[:5]}"
            key = (kind.plural, namespace, name)
            if key in self.objects:
                raise Problem(409, "AlreadyExists", f'{kind.plural} "{name}" already exists')
            if kind.custom and kind.has_status:
                document.pop("status", None)
            metadata |= {"name": name, "uid": str(uuid.uuid4()), "generation": 1,
                         "creationTimestamp": stamp(self.now())}  # fmt: skip
            if kind.namespaced:
                metadata["namespace"] = namespace
            document |= {"apiVersion": kind.api_version, "kind": kind.kind}
            self._refuse_invalid(kind, document)
            return self._write(key, document, "ADDED")

    def patch(self, kind: Kind, namespace: str, name: str, patch: Json, subresource: str = "") -> Json:
        """A JSON merge patch (RFC 7396); `metadata.resourceVersion` in it is a condition."""
        with self.lock:
            return self.replace(
                kind, namespace, name, merged(self._at(kind, namespace, name), patch), subresource
            )

    def replace(self, kind: Kind, namespace: str, name: str, document: Json, subresource: str = "") -> Json:
        with self.lock:
            before = self._at(kind, namespace, name)
            wanted = document.get("metadata", {}).get("resourceVersion")
            if wanted not in (None, before["metadata"]["resourceVersion"]):
                raise Problem(
                    409,
                    "Conflict",
                    f'Operation cannot be fulfilled on {kind.plural} "{name}": the object has been '
                    "modified; please apply your changes to the latest version and try again",
                )
            after = self._after(kind, before, kind.cleaned(document), subresource)
            self._refuse_invalid(kind, after)
            if after == before:
                return copied(before)
            return self._write((kind.plural, namespace, name), after, "MODIFIED")

    def delete(self, kind: Kind, namespace: str, name: str) -> Json:
        with self.lock:
            document = self._at(kind, namespace, name)
            del self.objects[kind.plural, namespace, name]
            for key, each in list(self.objects.items()):  # what it owns goes with it
                owners = each["metadata"].get("ownerReferences", ())
                if any(owner["uid"] == document["metadata"]["uid"] for owner in owners):
                    del self.objects[key]
            self._tell((kind.plural, namespace, name), copied(document), "DELETED")
            return document

    def apply(self, document: Json) -> Json:
        """What a controller that applies manifests does: make it, or give it this spec and these labels."""
        kind = kind_of(document)
        metadata = document["metadata"]
        namespace = metadata.get("namespace", "default")
        if (kind.plural, namespace, metadata["name"]) not in self.objects:
            return self.create(kind, namespace, document)
        live = self.get(kind, namespace, metadata["name"])
        labels = {**live["metadata"].get("labels", {}), **metadata.get("labels", {})}
        whole = {**live, "metadata": {**live["metadata"], "labels": labels}, "spec": document["spec"]}
        return self.replace(kind, namespace, metadata["name"], whole)

    def set_status(self, document: Json, status: Json) -> Json:
        """What a controller writes of an object that it has read. `status` replaces the one before."""
        kind, metadata = kind_of(document), document["metadata"]
        whole = {**document, "metadata": {"name": metadata["name"]}, "status": status}
        with self.lock:
            before = self._at(kind, metadata.get("namespace", ""), metadata["name"])
            whole["metadata"] = before["metadata"]
            return self.replace(
                kind,
                metadata.get("namespace", ""),
                metadata["name"],
                whole,
                "status" if kind.has_status else "",
            )

    def watch(self, kind: Kind, namespace: str, name: str, since: int, idle: float) -> Iterator[Json]:
        """Events after a version, as they come, until none has come for `idle` seconds."""
        if since < self.compacted:
            yield {
                "type": "ERROR",
                "object": Problem(410, "Expired", f"too old resource version: {since}").document(),
            }
            return
        at = since
        while True:
            with self.lock:
                if not any(event.version > at for event in self.events) and not self.lock.wait(idle):
                    return
                fresh = [event for event in self.events if event.version > at]
                at = self.version
            for event in fresh:
                plural, where, called = event.key
                if plural == kind.plural and namespace in ("", where) and name in ("", called):
                    yield {"type": event.type, "object": event.document}

    def compact(self) -> None:
        """Forget the events so far."""
        with self.lock:
            self.events, self.compacted = [], self.version

    def settle(self) -> None:
        """Let the controllers work until none of them writes any more."""
        with self.lock:
            if self._settling:
                return
            self._settling = True
            try:
                for _ in range(100):
                    before = self.version
                    for control in self.changed:
                        control()
                    if self.version == before:
                        return
                raise AssertionError("the controllers do not come to rest")
            finally:
                self._settling = False

    def _at(self, kind: Kind, namespace: str, name: str) -> Json:
        if (found := self.objects.get((kind.plural, namespace, name))) is None:
            group = f".{kind.group}" if kind.group else ""
            raise Problem(404, "NotFound", f'{kind.plural}{group} "{name}" not found')
        return found

    def _after(self, kind: Kind, before: Json, document: Json, subresource: str) -> Json:
        if subresource == "status":
            return {**copied(before), "status": document.get("status", {})}
        after = {**document, "apiVersion": kind.api_version, "kind": kind.kind}
        metadata, kept = {**document.get("metadata", {})}, before["metadata"]
        for name in ("name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion"):
            if name in kept:
                metadata[name] = kept[name]
        if kind.has_status:
            after.pop("status", None)
            if "status" in before:
                after["status"] = copied(before["status"])
        ignored = ("metadata", "status") if kind.has_status else ("metadata",)
        if any(before.get(part) != after.get(part) for part in {*before, *after} - set(ignored)):
            metadata["generation"] = kept["generation"] + 1
        return {**after, "metadata": metadata}

    def _refuse_invalid(self, kind: Kind, document: Json) -> None:
        if kind.schema and (faults := kind.faults(document)):
            name = document["metadata"].get("name", "")
            raise Problem(
                422, "Invalid", f'{kind.kind}.{kind.group} "{name}" is invalid: {"; ".join(faults)}'
            )

    def _write(self, key: Key, document: Json, kind: str) -> Json:
        document["metadata"]["resourceVersion"] = str(self.version + 1)
        self.objects[key] = document
        written = copied(document)
        self._tell(key, document, kind)
        return written  # whatever the controllers have made of it since

    def _tell(self, key: Key, document: Json, kind: str) -> None:
        self.version += 1
        self.events.append(Event(self.version, key, kind, copied(document)))
        self.lock.notify_all()
        self.settle()


def merged(document: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = dict(copied(document)) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def selected(document: Json, selector: str) -> bool:
    """Equality-based label selectors."""
    labels = document.get("metadata", {}).get("labels", {})
    wanted = [part.replace("==", "=").partition("=") for part in selector.split(",") if part]
    return all(labels.get(name) == value for name, _, value in wanted)


def ticking(began: datetime) -> Callable[[], datetime]:
    """A clock that goes on by a second whenever it is looked at, so that no two things are of one age."""
    seconds = itertools.count()
    return lambda: began + timedelta(seconds=next(seconds))


def stamp(at: datetime) -> str:
    """A metav1.Time."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
