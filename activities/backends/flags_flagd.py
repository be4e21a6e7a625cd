"""Flags in a flagd definition file (https://flagd.dev/reference/flag-definitions).

The file is written whole, by an atomic rename under a lock, and read through the OpenFeature SDK with
flagd's own provider in file mode, as the services do.
"""

import contextlib
import fcntl
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode, OpenFeatureError
from pydantic import BaseModel, ConfigDict, ValidationError

from activities.backends.flagd_audience import Definition, audience_of, revision_of, rewritten
from activities.ports import Backend, Health
from leverframe.model.errors import BadConfiguration, Conflict, NotFound, Unavailable
from leverframe.model.facts import FlagState
from leverframe.model.flags import Audience, FlagReading, InternalUsers, Part, Whole
from leverframe.model.ids import short_hash

_POLL_MS = 50
"""How often the provider looks at the file; it calls this setting a deadline."""

_MOST_MINUTES = 31 * 24 * 60

_SPENT_KEYS = 32
"""Keys that a flag remembers, oldest forgotten first."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow")

    flags: dict[str, Definition]


class FlagdFlags:
    """The Flags port. One instance may be used by many threads, and many processes may share the file."""

    def __init__(self, path: Path, internal: InternalUsers | None = None) -> None:
        """`internal`: who gets a flag first when it is rolled out."""
        self._path = path.absolute()
        self._internal = internal or InternalUsers()
        self._lock = threading.Lock()
        self._client: OpenFeatureClient | None = None

    def list(self) -> list[FlagState]:
        """Raises Unavailable (no file) or BadConfiguration (a broken one)."""
        document, _ = self._read()
        return [_state(name, each) for name, each in document.flags.items() if each.is_switch]

    def read(self, flag: str) -> FlagReading:
        """Who has the flag. Raises NotFound, BadConfiguration, Unavailable."""
        document, raw = self._read()
        return self._reading(flag, self._definition(document, flag), raw["flags"][flag])

    def set(self, flag: str, on: bool, *, key: str, reason: str) -> bool:
        """Give everybody the flag's on or off variant, whoever had it on before by a rollout of ours.

        A key switches once: a retry that comes after a person has switched the flag back changes nothing.
        Who did it is kept in the flag's metadata as `leverframe.key`, `leverframe.reason` and
        `leverframe.at`: flat, because the provider refuses a file whose metadata has objects in it.

        Raises:
            NotFound: no such flag.
            BadConfiguration: the file is broken, or the flag is disabled, has no on and off variants, or
                has targeting rules of somebody else's, which decide before the default does.
            Unavailable: the file can't be read or written.
        """
        with self._locked():
            document, raw = self._read()
            definition = self._definition(document, flag)
            self._enabled(definition, flag, wanted=on)
            if audience_of(definition) is None:
                raise BadConfiguration(
                    f"flag {flag!r} has targeting rules in {self._path.name}, which decide before its "
                    "default: change them by hand"
                )
            definition.name_of(on, flag)
            if audience_of(definition) == Whole(on=on) or short_hash(key) in _spent(definition):
                return False
            self._give(raw, flag, Whole(on=on), key=key, reason=reason)
            return True

    def expose(self, flag: str, audience: Audience, *, expected: str, key: str, reason: str) -> FlagReading:
        """Give the flag to an audience, if it still is as it was at the revision `expected`.

        Asked again with the same key after it was done, it says so.

        Raises:
            Conflict: somebody else has changed the flag since; it is left as it is.
            NotFound, Unavailable: as above.
            BadConfiguration: as above, or nobody is declared internal.
        """
        with self._locked():
            document, raw = self._read()
            definition = self._definition(document, flag)
            self._enabled(definition, flag, wanted=audience != Whole(on=False))
            before = self._reading(flag, definition, raw["flags"][flag])
            wanted = rewritten(raw["flags"][flag], flag, audience, self._internal)
            if before.changed_by == key and before.revision == revision_of(wanted):
                return before
            if before.revision != expected:
                raise Conflict(f"somebody changed the flag {flag!r} meanwhile: it is {before.words()}")
            self._give(raw, flag, audience, key=key, reason=reason)
            return self._reading(flag, Definition.model_validate(raw["flags"][flag]), raw["flags"][flag])

    def _give(
        self, raw: dict[str, dict[str, Any]], flag: str, audience: Audience, *, key: str, reason: str
    ) -> None:
        """Write the flag for this audience, with who did it and why."""
        definition = Definition.model_validate(raw["flags"][flag])
        before = audience_of(definition)
        written = rewritten(raw["flags"][flag], flag, audience, self._internal)
        metadata = definition.metadata | {
            "leverframe.key": key,
            "leverframe.spent": " ".join([*_spent(definition), short_hash(key)][-_SPENT_KEYS:]),
            "leverframe.reason": reason,
            "leverframe.at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        metadata.pop("leverframe.killed_at_percent", None)
        if isinstance(before, Part) and audience == Whole(on=False):
            metadata["leverframe.killed_at_percent"] = before.percent
        raw["flags"][flag] = written | {"metadata": metadata}
        self._write(raw)

    def _definition(self, document: _Document, flag: str) -> Definition:
        if flag not in document.flags:
            raise NotFound(f"flag {flag!r} is not in {self._path.name}")
        return document.flags[flag]

    def _enabled(self, definition: Definition, flag: str, *, wanted: bool) -> None:
        if wanted and definition.state != "ENABLED":
            raise BadConfiguration(f"flag {flag!r} is disabled in {self._path.name}: enable it there first")

    def _reading(self, flag: str, definition: Definition, raw: dict[str, Any]) -> FlagReading:
        return FlagReading(
            flag=flag,
            audience=audience_of(definition),
            on=definition.names_of(True),
            off=definition.names_of(False),
            revision=revision_of(raw),
            changed_by=_key(definition.metadata.get("leverframe.key")),
        )

    def evaluate(
        self,
        flag: str,
        *,
        targeting_key: str = "leverframe-verify",
        attributes: Mapping[str, str] = MappingProxyType({}),
    ) -> bool:
        """Evaluate as a service does. A broken file leaves the values that were last good.

        Raises:
            NotFound: no such flag.
            BadConfiguration: it is not a boolean flag.
            Unavailable: the provider has never read a good file.
        """
        context = EvaluationContext(targeting_key, dict(attributes))
        details = self._openfeature().get_boolean_details(flag, False, context)
        if details.error_code is None:
            return details.value
        if details.error_code is ErrorCode.FLAG_NOT_FOUND:
            raise NotFound(f"flag {flag!r} is not known to the flag provider")
        if details.error_code is ErrorCode.PROVIDER_NOT_READY:
            raise Unavailable(f"the flag provider is not ready: {details.error_message}")
        raise BadConfiguration(f"flag {flag!r} can't be evaluated: {details.error_message}")

    def health(self) -> Health:
        """Whether the file can be read, and written by us."""
        try:
            count = len(self.list())
        except (BadConfiguration, Unavailable) as error:
            return Health(ok=False, detail=str(error), remedy=f"repair {self._path}")
        if not os.access(self._path.parent, os.W_OK):
            return Health(
                ok=False,
                detail=f"{self._path.parent} is not writable, so no flag can be switched",
                remedy="give this user write access to the directory",
            )
        return Health(ok=True, detail=f"{count} switches in {self._path}")

    def close(self) -> None:
        """Stop watching the file."""
        with self._lock:
            if self._client is not None:
                self._client.provider.shutdown()
                self._client = None

    def _openfeature(self) -> OpenFeatureClient:
        """The client on a domain of its own, made at first use: our flags are not the caller's flags."""
        with self._lock:
            if self._client is None:
                provider = FlagdProvider(
                    resolver_type=ResolverType.FILE,
                    offline_flag_source_path=str(self._path),
                    deadline_ms=_POLL_MS,
                )
                domain = f"leverframe:{self._path}"
                # The lock keeps writers out while the provider notes which version of the file it read.
                with self._locked():
                    try:
                        api.set_provider_and_wait(provider, domain)
                    except OpenFeatureError as error:
                        provider.shutdown()
                        raise Unavailable(f"the flag provider did not start: {error}") from error
                self._client = api.get_client(domain)
            return self._client

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, over all processes: a lock on a file beside the definitions."""
        try:
            lock = (self._path.parent / f".{self._path.name}.lock").open("a")
        except OSError as error:
            raise Unavailable(f"can't lock {self._path}: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> tuple[_Document, dict[str, dict[str, Any]]]:
        """The document, checked and as it is."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise Unavailable(f"the flag file {self._path} does not exist") from None
        except OSError as error:
            raise Unavailable(f"the flag file {self._path} can't be read: {error.strerror}") from error
        try:
            raw = json.loads(text)
            return _Document.model_validate(raw), raw
        except (ValueError, RecursionError, ValidationError) as error:
            first = str(error).splitlines()[0]
            raise BadConfiguration(f"the flag file {self._path} is broken: {first}") from error

    def _write(self, raw: object) -> None:
        """Replace the file at once, with a newer modification time, by which the provider notices it."""
        before = self._path.stat()
        try:
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self._path.parent, prefix=f".{self._path.name}.", delete=False
            ) as file:
                json.dump(raw, file, indent=2, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), before.st_mode & 0o777)
            written = os.stat(file.name).st_mtime_ns  # noqa: PTH116 - beside os.utime, which needs the name
            # Two writes within one tick of the file system's clock would look like one.
            newer = max(written, before.st_mtime_ns + 1_000_000)
            os.utime(file.name, ns=(newer, newer))
            os.replace(file.name, self._path)  # noqa: PTH105 - the name is a string here
        except OSError as error:
            raise Unavailable(f"the flag file {self._path} can't be written: {error.strerror}") from error


def _state(flag: str, definition: Definition) -> FlagState:
    audience, metadata = audience_of(definition), definition.metadata
    return FlagState(
        flag=flag,
        on=definition.state == "ENABLED" and audience not in (Whole(on=False), None),
        percent=audience.percent if isinstance(audience, Part) else None,
        kill=metadata.get("kill") is not False and audience is not None,
        changed_at=_instant(metadata.get("leverframe.at")),
        changed_by=_key(metadata.get("leverframe.key")),
        restore_after_minutes=_minutes(metadata.get("restore_after_minutes")),
        killed_at_percent=_percent(metadata.get("leverframe.killed_at_percent")),
    )


def _instant(value: object) -> datetime | None:
    """A time that we once wrote; anything else in its place is no time."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def _key(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _percent(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100 else None


def _minutes(value: object) -> int | None:
    """What the flag's owner declared; anything but a length of at most a month is no such thing."""
    known = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_MINUTES
    return int(value) if known and isinstance(value, int) else None


def _spent(definition: Definition) -> "list[str]":
    return str(definition.metadata.get("leverframe.spent", "")).split()


BACKEND = Backend(kind="flags", name="flagd", scopes=(), build=FlagdFlags)
