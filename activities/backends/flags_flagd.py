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
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode, OpenFeatureError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activities.ports import Backend, Health
from leverframe.model.errors import BadConfiguration, NotFound, Unavailable
from leverframe.model.facts import FlagState
from leverframe.model.ids import short_hash

_POLL_MS = 50
"""How often the provider looks at the file; it calls this setting a deadline."""

_SPENT_KEYS = 32
"""Keys that a flag remembers, oldest forgotten first."""


class _Definition(BaseModel):
    """The part of one flag that matters here; everything else is kept as it is."""

    model_config = ConfigDict(extra="allow")

    state: str = "ENABLED"
    variants: dict[str, object]
    default_variant: str | None = Field(default=None, alias="defaultVariant")
    metadata: dict[str, bool | int | float | str] = {}
    targeting: dict[str, object] | None = None


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow")

    flags: dict[str, _Definition]


class FlagdFlags:
    """The Flags port. One instance may be used by many threads, and many processes may share the file."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._lock = threading.Lock()
        self._client: OpenFeatureClient | None = None

    def list(self) -> list[FlagState]:
        """Raises Unavailable (no file) or BadConfiguration (a broken one)."""
        document, _ = self._read()
        return [
            FlagState(
                flag=name,
                on=definition.state == "ENABLED" and _variant(definition, definition.default_variant) is True,
                kill=definition.metadata.get("kill") is not False and not definition.targeting,
                changed_at=_instant(definition.metadata.get("leverframe.at")),
                changed_by=_key(definition.metadata.get("leverframe.key")),
            )
            for name, definition in document.flags.items()
            if _is_switch(definition)
        ]

    def set(self, flag: str, on: bool, *, key: str, reason: str) -> bool:
        """Point the flag's `defaultVariant` at its on or off variant.

        A key switches once: a retry that comes after a person has switched the flag back changes nothing.
        Who did it is kept in the flag's metadata as `leverframe.key`, `leverframe.reason` and
        `leverframe.at`: flat, because the provider refuses a file whose metadata has objects in it.

        Raises:
            NotFound: no such flag.
            BadConfiguration: the file is broken, or the flag is disabled, has no on and off variants, or
                has targeting rules, which decide before the default does.
            Unavailable: the file can't be read or written.
        """
        with self._locked():
            document, raw = self._read()
            definition = document.flags.get(flag)
            if definition is None:
                raise NotFound(f"flag {flag!r} is not in {self._path.name}")
            if on and definition.state != "ENABLED":
                raise BadConfiguration(
                    f"flag {flag!r} is disabled in {self._path.name}: enable it there first"
                )
            if definition.targeting:
                raise BadConfiguration(
                    f"flag {flag!r} has targeting rules in {self._path.name}, which decide before its "
                    "default: change them by hand"
                )
            wanted = _name_of(definition, on, flag)
            spent = str(definition.metadata.get("leverframe.spent", "")).split()
            if definition.default_variant == wanted or short_hash(key) in spent:
                return False
            raw["flags"][flag]["defaultVariant"] = wanted
            raw["flags"][flag]["metadata"] = definition.metadata | {
                "leverframe.key": key,
                "leverframe.spent": " ".join([*spent, short_hash(key)][-_SPENT_KEYS:]),
                "leverframe.reason": reason,
                "leverframe.at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
            self._write(raw)
            return True

    def evaluate(self, flag: str, *, targeting_key: str = "leverframe-verify") -> bool:
        """Evaluate as a service does. A broken file leaves the values that were last good.

        Raises:
            NotFound: no such flag.
            BadConfiguration: it is not a boolean flag.
            Unavailable: the provider has never read a good file.
        """
        details = self._openfeature().get_boolean_details(flag, False, EvaluationContext(targeting_key))
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

    def _read(self) -> tuple[_Document, dict[str, dict[str, dict[str, object]]]]:
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


def _variant(definition: _Definition, name: str | None) -> object:
    return None if name is None else definition.variants.get(name)


def _instant(value: object) -> datetime | None:
    """A time that we once wrote; anything else in its place is no time."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def _key(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_switch(definition: _Definition) -> bool:
    """Whether the flag is boolean: exactly these can be switched."""
    return {True, False} == {value for value in definition.variants.values() if isinstance(value, bool)}


def _name_of(definition: _Definition, value: bool, flag: str) -> str:
    """The variant that has the value. Raises BadConfiguration."""
    for name, candidate in definition.variants.items():
        if candidate is value:
            return name
    raise BadConfiguration(f"flag {flag!r} has no variant that is {str(value).lower()}")


BACKEND = Backend(kind="flags", name="flagd", scopes=(), build=FlagdFlags)
