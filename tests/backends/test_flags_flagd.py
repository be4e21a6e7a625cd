"""The flagd file as a Flags port, seen through OpenFeature."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.backends.flags_flagd import FlagdFlags
from leverframe.model.errors import BadConfiguration, Conflict, NotFound, Unavailable
from leverframe.model.flags import Audience, FlagReading, InternalUsers, Part, Whole

SWITCH = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}
DOCUMENT = {
    "$schema": "https://flagd.dev/schema/v0/flags.json",
    "flags": {
        "new-pricing": {
            **SWITCH,
            "metadata": {"kill": True, "owner": "pricing"},
        },
        "insiders": {
            **SWITCH,
            "targeting": {"if": [{"ends_with": [{"var": "email"}, "@shop.example"]}, "on", None]},
        },
        "checkout": {**SWITCH, "defaultVariant": "on", "metadata": {"kill": False}},
        "colour": {"state": "ENABLED", "variants": {"red": "r", "blue": "b"}, "defaultVariant": "red"},
        "retired": {**SWITCH, "state": "DISABLED"},
    },
    "metadata": {"team": "shop"},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


@pytest.fixture
def flags(path: Path) -> Iterator[FlagdFlags]:
    flags = FlagdFlags(path)
    yield flags
    flags.close()


def evaluates_to(flags: FlagdFlags, flag: str, expected: bool) -> bool:
    """Ask the provider until it has seen the file; it looks twenty times a second."""
    deadline = time.monotonic() + 10
    while flags.evaluate(flag) is not expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return flags.evaluate(flag) is expected


def test_a_flip_is_seen_by_an_openfeature_evaluation(flags: FlagdFlags) -> None:
    assert flags.evaluate("new-pricing") is False
    assert flags.set("new-pricing", True, key="run/1", reason="launch") is True
    assert evaluates_to(flags, "new-pricing", True)


def test_a_flag_with_targeting_rules_is_not_switched_because_they_decide_first(flags: FlagdFlags) -> None:
    with pytest.raises(BadConfiguration, match="targeting rules"):
        flags.set("insiders", False, key="run/1", reason="kill")
    assert [state.kill for state in flags.list() if state.flag == "insiders"] == [False]


def test_a_retry_does_not_undo_what_a_person_did_since(flags: FlagdFlags) -> None:
    assert flags.set("checkout", False, key="run/1/0", reason="spike")
    assert flags.set("checkout", True, key="ada/now", reason="needed after all")
    assert flags.set("checkout", False, key="run/1/0", reason="spike") is False
    assert [state.on for state in flags.list() if state.flag == "checkout"] == [True]


def test_every_one_of_many_quick_flips_is_seen(flags: FlagdFlags) -> None:
    """Writes within one tick of the file system's clock would hide each other."""
    flags.evaluate("new-pricing")
    for number in range(20):
        on = number % 2 == 0
        assert flags.set("new-pricing", on, key=f"run/{number}", reason="back and forth")
    assert evaluates_to(flags, "new-pricing", False)
    stamps = []
    for number in range(5):
        flags.set("new-pricing", number % 2 == 0, key=f"again/{number}", reason="stamps")
        stamps.append(flags._path.stat().st_mtime_ns)
    assert stamps == sorted(set(stamps))


def test_switching_to_the_value_it_has_changes_nothing(flags: FlagdFlags, path: Path) -> None:
    before = path.read_bytes()
    assert flags.set("new-pricing", False, key="run/1", reason="again") is False
    assert path.read_bytes() == before


def test_a_flip_keeps_everything_else_and_records_who_did_it(flags: FlagdFlags, path: Path) -> None:
    flags.set("new-pricing", True, key="run/sentry_spike/shop/SHOP-1/1/0", reason="sentry_spike on SHOP-1")
    written = json.loads(path.read_text())
    metadata = written["flags"]["new-pricing"].pop("metadata")
    assert written["flags"]["new-pricing"].pop("defaultVariant") == "on"
    assert metadata.pop("leverframe.at").endswith("+00:00")
    assert len(metadata.pop("leverframe.spent").split()) == 1
    assert metadata == {
        "kill": True,
        "owner": "pricing",
        "leverframe.key": "run/sentry_spike/shop/SHOP-1/1/0",
        "leverframe.reason": "sentry_spike on SHOP-1",
    }
    expected = json.loads(json.dumps(DOCUMENT))
    del expected["flags"]["new-pricing"]["metadata"], expected["flags"]["new-pricing"]["defaultVariant"]
    assert written == expected


def test_only_switches_are_listed_with_their_state(flags: FlagdFlags) -> None:
    listed = {state.flag: (state.on, state.kill) for state in flags.list()}
    assert listed == {
        "new-pricing": (False, True),
        "insiders": (False, False),
        "checkout": (True, False),
        "retired": (False, True),
    }


def test_a_flag_says_with_which_key_it_was_last_switched(flags: FlagdFlags) -> None:
    def keys() -> dict[str, str | None]:
        return {state.flag: state.changed_by for state in flags.list()}

    assert set(keys().values()) == {None}
    flags.set("new-pricing", True, key="run/sentry_spike/shop/SHOP-1/1/0", reason="spike")
    assert keys()["new-pricing"] == "run/sentry_spike/shop/SHOP-1/1/0"
    flags.set("new-pricing", False, key="ada/now", reason="not yet")
    assert keys() == {"new-pricing": "ada/now", "insiders": None, "checkout": None, "retired": None}


@pytest.mark.parametrize("key", [7, True, ""])
def test_a_key_that_we_did_not_write_is_nobodys(flags: FlagdFlags, path: Path, key: object) -> None:
    document = json.loads(path.read_text())
    document["flags"]["checkout"]["metadata"] = {"leverframe.key": key}
    path.write_text(json.dumps(document))
    assert all(state.changed_by is None for state in flags.list())


def test_an_unknown_flag_is_not_found(flags: FlagdFlags) -> None:
    with pytest.raises(NotFound, match="no-such-flag"):
        flags.set("no-such-flag", True, key="run/1", reason="typo")
    with pytest.raises(NotFound, match="no-such-flag"):
        flags.evaluate("no-such-flag")


def test_a_flag_that_is_no_switch_is_refused(flags: FlagdFlags) -> None:
    with pytest.raises(BadConfiguration, match="no variant that is true"):
        flags.set("colour", True, key="run/1", reason="not a switch")
    with pytest.raises(BadConfiguration, match="colour"):
        flags.evaluate("colour")


def test_a_disabled_flag_can_not_be_switched_on(flags: FlagdFlags) -> None:
    with pytest.raises(BadConfiguration, match="disabled"):
        flags.set("retired", True, key="run/1", reason="retired")


@pytest.mark.parametrize("text", ["{", "[]", '{"flags": {"a": 1}}', "[" * 20_000, ""])
def test_a_broken_file_is_named_and_keeps_the_last_good_values(
    flags: FlagdFlags, path: Path, text: str
) -> None:
    assert flags.evaluate("checkout") is True
    path.write_text(text)
    for attempt in (flags.list, lambda: flags.set("checkout", False, key="run/1", reason="kill")):
        with pytest.raises(BadConfiguration, match="is broken"):
            attempt()
    assert flags.evaluate("checkout") is True
    assert not flags.health().ok


def test_a_file_that_is_repaired_is_read_again(flags: FlagdFlags, path: Path) -> None:
    flags.evaluate("checkout")
    path.write_text("{")
    repaired = json.loads(json.dumps(DOCUMENT))
    repaired["flags"]["checkout"]["defaultVariant"] = "off"
    later = path.stat().st_mtime_ns + 2_000_000
    path.write_text(json.dumps(repaired))
    os.utime(path, ns=(later, later))
    assert evaluates_to(flags, "checkout", False)


def test_a_missing_file_is_unavailable_and_works_once_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    flags = FlagdFlags(path)
    with pytest.raises(Unavailable):
        flags.list()
    with pytest.raises(Unavailable):
        flags.evaluate("checkout")
    path.write_text(json.dumps(DOCUMENT))
    assert flags.evaluate("checkout") is True
    flags.close()


def test_two_files_in_one_process_keep_their_own_values(flags: FlagdFlags, tmp_path: Path) -> None:
    other_path = tmp_path / "other.json"
    other_path.write_text(json.dumps({"flags": {"new-pricing": {**SWITCH, "defaultVariant": "on"}}}))
    other = FlagdFlags(other_path)
    assert (flags.evaluate("new-pricing"), other.evaluate("new-pricing")) == (False, True)
    other.close()


def test_concurrent_writers_in_several_processes_lose_nothing(path: Path) -> None:
    names = [f"flag-{number}" for number in range(40)]
    path.write_text(json.dumps({"flags": dict.fromkeys(names, SWITCH)}))
    script = (
        "import sys; from pathlib import Path; from activities.backends.flags_flagd import FlagdFlags\n"
        "flags = FlagdFlags(Path(sys.argv[1]))\n"
        "for name in sys.argv[2:]: flags.set(name, True, key=name, reason='together')\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), *names[start::4]]) for start in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    written = json.loads(path.read_text())["flags"]
    assert {name: flag["defaultVariant"] for name, flag in written.items()} == dict.fromkeys(names, "on")
    assert all(written[name]["metadata"]["leverframe.key"] == name for name in names)
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".flags.json.lock", "flags.json"]


def test_health_counts_the_switches(flags: FlagdFlags) -> None:
    health = flags.health()
    assert health.ok
    assert "4 switches" in health.detail


STAFF = InternalUsers(keys=("ada",), attribute="email", endings=("@shop.example",))


@pytest.fixture
def rolling(path: Path) -> Iterator[FlagdFlags]:
    flags = FlagdFlags(path, STAFF)
    yield flags
    flags.close()


def expose(flags: FlagdFlags, audience: Audience, key: str, expected: str = "") -> FlagReading:
    revision = expected or flags.read("new-pricing").revision
    return flags.expose("new-pricing", audience, expected=revision, key=key, reason="rollout")


def test_internal_users_get_a_flag_first_and_others_do_not(rolling: FlagdFlags) -> None:
    assert rolling.evaluate("new-pricing", targeting_key="ada") is False
    assert expose(rolling, Part(percent=0), "flag/shop/new-pricing/1").audience == Part(percent=0)
    deadline = time.monotonic() + 10
    while not rolling.evaluate("new-pricing", targeting_key="ada") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert rolling.evaluate("new-pricing", targeting_key="ada")
    assert rolling.evaluate("new-pricing", attributes={"email": "cleo@shop.example"})
    assert not rolling.evaluate("new-pricing", attributes={"email": "dan@elsewhere"})
    states = [(s.on, s.kill, s.percent) for s in rolling.list() if s.flag == "new-pricing"]
    assert states == [(True, True, 0)]


def test_a_step_written_again_after_a_crash_finds_itself_done(rolling: FlagdFlags) -> None:
    before = rolling.read("new-pricing").revision
    first = expose(rolling, Part(percent=5), "step/1")
    assert expose(rolling, Part(percent=5), "step/1", expected=before) == first


def test_what_a_person_changed_meanwhile_is_not_overwritten(rolling: FlagdFlags, path: Path) -> None:
    step = expose(rolling, Part(percent=5), "step/1")
    rolling.set("new-pricing", True, key="ada/now", reason="for everybody")
    with pytest.raises(Conflict, match="meanwhile: it is on for everybody"):
        expose(rolling, Part(percent=25), "step/2", expected=step.revision)
    assert rolling.read("new-pricing").audience == Whole(on=True)
    document = json.loads(path.read_text())
    document["flags"]["new-pricing"]["targeting"] = {"if": [True, "on", "off"]}
    path.write_text(json.dumps(document))
    with pytest.raises(Conflict, match="under targeting rules of somebody's own"):
        expose(rolling, Part(percent=25), "step/2", expected=step.revision)


def test_a_flag_on_its_way_is_killed_for_everybody_at_once_and_says_how_far_it_was(
    rolling: FlagdFlags, path: Path
) -> None:
    expose(rolling, Part(percent=25), "step/1")
    assert rolling.set("new-pricing", False, key="run/1/0", reason="spike") is True
    written = json.loads(path.read_text())["flags"]["new-pricing"]
    assert "targeting" not in written
    assert written["variants"] == SWITCH["variants"]
    assert [s.killed_at_percent for s in rolling.list() if s.flag == "new-pricing"] == [25]
    rolling.set("new-pricing", True, key="ada/now", reason="for everybody")
    assert [s.killed_at_percent for s in rolling.list() if s.flag == "new-pricing"] == [None]


def test_nothing_is_rolled_out_where_nobody_is_internal(flags: FlagdFlags) -> None:
    with pytest.raises(BadConfiguration, match=r"set flags\.internal\.keys"):
        expose(flags, Part(percent=0), "step/1")


@pytest.mark.parametrize(
    ("declared", "known"), [(120, 120), (0, None), (True, None), ("2h", None), (10**9, None)]
)
def test_the_owner_of_a_flag_says_how_long_a_kill_may_stand(
    flags: FlagdFlags, path: Path, declared: object, known: int | None
) -> None:
    document = json.loads(path.read_text())
    document["flags"]["checkout"]["metadata"]["restore_after_minutes"] = declared
    path.write_text(json.dumps(document))
    assert [s.restore_after_minutes for s in flags.list() if s.flag == "checkout"] == [known]
