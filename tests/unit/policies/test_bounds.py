"""The ledger's bounds: what it keeps, for how long, and what it answers when it is full."""

import random
from base64 import b64encode
from datetime import datetime, timedelta

import pytest

from leverframe.model.errors import BadInput
from policies.book import Book
from policies.decision import Allowed, Denied
from policies.events import Granted, Settled
from policies.intent import Intent
from policies.ledger import MAX_UNWRITTEN, Ledger
from policies.reservations import (
    Committed,
    LedgerStart,
    LedgerState,
    Phase,
    SettledBy,
)
from policies.retention import MAX_ENTRIES, MAX_FILES, MAX_PARKED, MAX_SUBJECTS, OUTCOMES
from tests.fakes.asks import NOON, ON, REVERT, ask, delta, difference, policy
from tests.fakes.ledgers import (
    DAY,
    EVERYTHING,
    ONE_UNSETTLED,
    SECOND,
    approved,
    restarted,
    rules,
    settled,
    under,
    unswept,
)
from workflows.policy_ledger import MAX_START

FILES = difference().model_copy(update={"files": (delta(),) * (MAX_FILES - 1)})
BREAKER = "breaker: {bad: 3, of_last: 10, open_for: 1d}\n"

WITH_FILES = Intent.of(ask(effect=REVERT)).model_copy(update={"difference": FILES})
"""One file fewer than reservations may list together."""


class TestBounds:
    def test_a_full_ledger_denies_instead_of_growing_and_fits_into_one_message(self) -> None:
        ledger = under(policy())
        ledger.reserve(ask(), NOON)
        entry = ledger.known("run/1")
        many = tuple(
            entry.model_copy(update={"id": f"run/sentry_spike/shop/SHOP-{number:012x}/1/0"})
            for number in range(MAX_ENTRIES)
        )
        full = Ledger(ledger.state.model_copy(update={"entries": many}))
        decision = full.reserve(ask("run/new"), NOON)
        assert isinstance(decision, Denied)
        assert rules(decision.findings) == ["ledger.capacity"]
        assert isinstance(full.commit(many[0].id, NOON), Committed), "what is on its way goes on"
        start = LedgerStart.of("acme", full.state)
        assert len(start.model_dump_json()) < 2_000_000
        assert start.state.entries == full.state.entries

    def test_what_does_not_compress_is_bounded_by_its_bytes(self) -> None:
        ledger, store_up = under(policy()), True
        dice = random.Random(1)  # noqa: S311 - not a secret

        def name(length: int) -> str:
            return b64encode(dice.randbytes(length), b"xy").decode()[:length]

        def reserve(at: datetime) -> Denied | None:
            files = difference(*(delta(name(1000)) for _ in range(300)))
            wild = ask(name(300), REVERT, difference=files, subject=name(200))
            answer = ledger.reserve(wild, at)
            assert isinstance(answer, Denied), "such paths are refused"
            mild = ask(name(300), REVERT, difference=difference(*(delta(name(390)) for _ in range(300))))
            answer = ledger.reserve(mild, at)
            if store_up:
                ledger.written(ledger.head.sequence)
            return answer if isinstance(answer, Denied) else None

        while (full := reserve(NOON)) is None:
            pass
        assert rules(full.findings) == ["ledger.capacity"]
        assert LedgerStart.of("acme", ledger.state).size < MAX_START
        for entry in ledger.state.entries:
            assert isinstance(ledger.commit(entry.id, NOON), Committed)
        ledger.written(ledger.head.sequence)
        store_up = False
        while (full := reserve(NOON + timedelta(minutes=1))) is None:
            pass
        assert rules(full.findings) == ["ledger.audit"]
        assert LedgerStart.of("acme", ledger.state).size < MAX_START

    def test_paths_are_recorded_up_to_the_length_for_which_they_are_refused(self) -> None:
        ledger = under(policy())
        ledger.reserve(ask(effect=REVERT, difference=difference(delta("a" * 1000), delta("b"))), NOON)
        asked = ledger.unwritten[0].data["intent"]["difference"]["files"]
        assert [len(file["path"]) for file in asked] == [401, 1]

    def test_who_asked_is_not_kept_once_it_is_committed(self) -> None:
        ledger = under(policy())
        ledger.reserve(ask(requesters=("ada@example.com",)), NOON)
        ledger.commit("run/1", NOON)
        assert ledger.known("run/1").intent.requesters == ()

    def test_of_the_policies_that_wait_for_the_store_as_many_travel_as_fit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        many = [policy([f"{{id: limit-{number}, max: 1, window: 1h}}"]) for number in range(8)]
        assert LedgerStart.of("acme", LedgerState(), many).unkept == many
        monkeypatch.setattr("policies.reservations.MAX_POLICY_BYTES", 2000)
        start = LedgerStart.of("acme", LedgerState(), many)
        assert 0 < len(start.packed_policies) <= 2000
        assert 0 < len(start.unkept) < 8
        assert start.unkept == many[8 - len(start.unkept) :], "the newest"

    def test_long_lists_of_files_are_bounded_together(self) -> None:
        ledger = under(policy())
        files = tuple(delta(f"src/{number}.py") for number in range(300))
        asks = MAX_FILES // 300 + 1
        decisions = []
        for number in range(asks):
            request = ask(f"run/{number}", effect=REVERT, difference=difference(*files))
            decisions.append(ledger.reserve(request, NOON))
            ledger.written(ledger.head.sequence)
        assert [decision.kind for decision in decisions] == ["allow"] * (asks - 1) + ["deny"]
        ledger.commit("run/0", NOON)
        ledger.written(ledger.head.sequence)
        assert isinstance(
            ledger.reserve(ask("x", effect=REVERT, difference=difference(*files)), NOON), Allowed
        )

    def test_more_subjects_than_storms_are_counted_by_get_nothing(self) -> None:
        ledger = under(policy(org="storm: {window: 1h, max_subjects: 5000, on_exceed: escalate}\n"))
        for number in range(MAX_SUBJECTS):
            assert isinstance(ledger.reserve(ask(f"run/{number}", subject=f"S-{number}"), NOON), Allowed)
            ledger.written(ledger.head.sequence)
        assert rules(ledger.reserve(ask("run/x", subject="another"), NOON).findings) == ["ledger.capacity"]
        assert isinstance(ledger.reserve(ask("run/y", subject="S-1"), NOON), Allowed)
        assert isinstance(ledger.reserve(ask("run/z", subject="T", repository="till"), NOON), Allowed)

    def test_what_can_not_be_recorded_is_not_granted_but_what_is_on_its_way_ends(self) -> None:
        ledger = under(policy([ONE_UNSETTLED]))
        for number in range(MAX_UNWRITTEN):
            ledger.reserve(ask(f"run/{number}"), NOON)
        stopped = ledger.reserve(ask("late", subject="other"), NOON)
        assert isinstance(stopped, Denied)
        assert rules(stopped.findings) == ["ledger.audit"]
        assert stopped.findings[0].limit == "fewer than 200 records wait for the store"
        assert len(ledger.unwritten) == MAX_UNWRITTEN, "and asking in vain adds nothing"
        assert isinstance(ledger.commit("run/0", NOON), Committed)
        assert ledger.settle(settled("run/0"), NOON).phase is Phase.SETTLED
        assert ledger.pause(EVERYTHING, NOON).pauses
        ledger.resume(EVERYTHING, NOON)
        ledger.written(ledger.head.sequence)
        assert ledger.unwritten == []
        assert isinstance(ledger.reserve(ask("late", subject="other"), NOON), Allowed)

    def test_records_that_list_many_files_count_as_many(self) -> None:
        ledger = under(policy(kill_switch=True))
        files = tuple(delta(f"src/{number}.py") for number in range(300))
        for number in range(100):
            ledger.reserve(ask(f"run/{number}", effect=REVERT, difference=difference(*files)), NOON)
        assert len(ledger.unwritten) < MAX_UNWRITTEN // 10

    def test_what_a_full_ledger_says_names_the_bound(self) -> None:
        ledger = under(policy(org="storm: {window: 1h, max_subjects: 5000, on_exceed: escalate}\n"))
        ledger.reserve(ask(), NOON)
        state = ledger.state
        [entry], [seen] = state.entries, state.sightings
        many = tuple(entry.model_copy(update={"id": f"run/{n}"}) for n in range(MAX_ENTRIES))
        crowd = tuple(seen.model_copy(update={"subject": f"S-{n}"}) for n in range(MAX_SUBJECTS))
        listed = entry.model_copy(update={"intent": WITH_FILES})
        for changes, observed, limit in (
            ({"entries": many}, "5000 reservations remembered", "fewer than 5000"),
            (
                {"entries": (listed,)},
                "10001 files listed by reservations",
                "fewer than 10000",
            ),
            (
                {"sightings": crowd},
                "too many subjects of shop ask for effects",
                "as many as storms are counted by",
            ),
        ):
            two = difference("a.py", "b.py")
            answer = Ledger(state.model_copy(update=changes)).reserve(ask("x", REVERT, difference=two), NOON)
            assert (answer.findings[-1].observed, answer.findings[-1].limit) == (observed, limit)
            assert answer.findings[-1].rule == "ledger.capacity"

    def test_subjects_that_left_the_longest_storm_window_are_no_crowd(self) -> None:
        ledger = under(policy(org="storm: {window: 1h, max_subjects: 5000, on_exceed: escalate}\n"))
        ledger.reserve(ask(), NOON)
        [seen] = ledger.state.sightings
        crowd = tuple(seen.model_copy(update={"subject": f"S-{n}"}) for n in range(MAX_SUBJECTS))
        later = NOON + timedelta(hours=1)
        full = unswept(Ledger(ledger.state.model_copy(update={"sightings": crowd})), later)
        assert len(full.state.sightings) == MAX_SUBJECTS
        assert isinstance(full.reserve(ask("run/2", subject="another"), later), Allowed)

    def test_ids_and_subjects_have_a_longest_length(self) -> None:
        ledger = under(policy())
        assert isinstance(ledger.reserve(ask("x" * 300, subject="y" * 200), NOON), Allowed)
        with pytest.raises(BadInput, match=r"^a reservation id has 1 to 300 characters$"):
            ledger.check_reserve(ask("x" * 301))
        with pytest.raises(BadInput, match=r"^a subject has 1 to 200 characters$"):
            ledger.check_reserve(ask(subject="y" * 201))

    def test_as_many_files_as_are_kept_together_may_be_listed(self) -> None:
        ledger = under(policy())
        ledger.reserve(ask(), NOON)
        [entry] = ledger.state.entries
        listed = entry.model_copy(update={"intent": WITH_FILES})
        full = Ledger(ledger.state.model_copy(update={"entries": (listed,)}))
        assert full.book.files == MAX_FILES - 1
        assert isinstance(full.reserve(ask("run/2", REVERT, difference=difference("a.py")), NOON), Allowed)
        assert full.book.files == MAX_FILES
        assert isinstance(full.reserve(ask("run/3"), NOON), Allowed), "what changes no files lists none"
        assert full.book.files == MAX_FILES

    def test_when_too_many_runs_are_parked_the_oldest_is_forgotten(self) -> None:
        ledger = under(policy())
        ledger.pause(EVERYTHING, NOON)
        ledger.reserve(ask("run/0"), NOON)
        [one] = ledger.state.parked
        names = [f"run/{number}" for number in range(MAX_PARKED + 1)]
        many = tuple(one.model_copy(update={"run": name}) for name in names[:-1])
        full = Ledger(ledger.state.model_copy(update={"parked": many}))
        full.reserve(ask(f"{names[-1]}/0"), NOON)
        assert [parked.run for parked in full.state.parked] == names[1:]

    def test_a_parked_run_that_did_not_ask_for_an_hour_waits_anew(self) -> None:
        ledger = under(policy())
        ledger.pause(EVERYTHING, NOON)
        ledger.reserve(ask("run/1/0"), NOON)
        later = NOON + timedelta(hours=1)
        assert unswept(ledger, later).state.parked
        silent = restarted(ledger)
        silent.lapse(later)
        assert not silent.state.parked
        ledger.reserve(ask("run/1/0"), later)
        assert [parked.since for parked in ledger.state.parked] == [later]

    def test_a_parked_run_that_asks_within_the_hour_has_waited_all_along(self) -> None:
        ledger = under(policy())
        ledger.pause(EVERYTHING, NOON)
        for minutes in (0, 59, 118):
            ledger.reserve(ask("run/1/0"), NOON + timedelta(minutes=minutes))
        assert [parked.since for parked in ledger.state.parked] == [NOON]

    def test_a_long_record_counts_once_more_for_every_2000_bytes(self) -> None:
        ledger = under(policy())
        files = difference(*(f"src/{number}.py" for number in range(13)))
        ledger.reserve(ask(effect=REVERT, difference=files), NOON)
        assert len(ledger.unwritten[0].line()) // 2000 == 1
        two = ledger.unwritten * (MAX_UNWRITTEN // 2 - 1)
        nearly = Ledger(ledger.state.model_copy(update={"unwritten": tuple(two)}))
        answers = [nearly.reserve(ask(f"run/{name}"), NOON) for name in "abc"]
        assert [answer.kind for answer in answers] == ["allow", "allow", "deny"]
        assert rules(answers[-1].findings) == ["ledger.audit"]

    def test_records_that_the_store_has_count_no_more_and_the_others_still_do(self) -> None:
        ledger = under(policy())
        for number in range(MAX_UNWRITTEN):
            ledger.reserve(ask(f"run/{number}"), NOON)
        ledger.written(1)
        assert len(ledger.unwritten) == MAX_UNWRITTEN - 1
        assert isinstance(ledger.reserve(ask("last"), NOON), Allowed)
        assert rules(ledger.reserve(ask("more"), NOON).findings) == ["ledger.audit"]


class TestMemory:
    """How long what has ended is remembered; the window of its limit is a week."""

    WEEKLY = policy(["{id: weekly, max: 999, window: 7d}"], org=BREAKER)

    def test_what_is_too_old_leaves_the_state_within_a_minute_of_commands(self) -> None:
        ledger, minute = under(policy()), timedelta(minutes=1)
        ledger.reserve(approved(ask(effect=ON), expires_at=NOON + minute), NOON)
        ledger.resume(EVERYTHING, NOON + minute - SECOND)
        assert len(ledger.state.spent_approvals) == 1
        ledger.resume(EVERYTHING, NOON + minute)
        assert not ledger.state.spent_approvals

    def test_what_ended_is_remembered_from_its_end_also_in_the_next_run(self) -> None:
        ledger, hour = under(self.WEEKLY), timedelta(hours=1)
        for name in ("run/1", "run/2"):
            ledger.reserve(ask(name), NOON)
        ledger.commit("run/2", NOON)
        ledger.release("run/1", NOON + hour / 6)
        ledger.settle(settled("run/2"), NOON + hour)
        for same in (ledger, restarted(ledger)):
            assert same.known("run/1").ended_at == NOON + hour / 6
            same.lapse(NOON + DAY + hour / 6 - SECOND)
            assert set(same.book.entries) == {"run/1", "run/2"}
            same.lapse(NOON + DAY + hour / 6)
            assert set(same.book.entries) == {"run/2"}

    def test_an_outcome_that_fifty_newer_ones_follow_is_remembered_as_long_as_a_rule_can_see_it(self) -> None:
        for ledger in (under(self.WEEKLY), restarted(under(self.WEEKLY))):
            for number in range(52):
                ledger.reserve(ask(f"run/{number}"), NOON)
                ledger.settle(settled(f"run/{number}"), NOON + number * SECOND)
            end = NOON + 7 * DAY
            ledger.lapse(end)
            assert "run/0" not in ledger.book.entries
            ledger.lapse(end + SECOND)
            assert "run/1" not in ledger.book.entries
            assert len(ledger.book.entries) == 50
            again = restarted(ledger)
            again.lapse(end + 60 * SECOND)
            assert len(again.book.entries) == 50, "an agent's newest 50 outcomes, however old"
            again.reserve(ask("run/x"), end + 60 * SECOND)
            again.settle(settled("run/x"), end + 60 * SECOND)
            assert "run/2" not in again.book.entries, "until a newer one takes its place"
            assert len(again.book.entries) == 50

    def test_an_id_that_was_forgotten_and_is_used_again_is_remembered_as_any_other(self) -> None:
        ledger = under(self.WEEKLY)

        def one(name: str, at: datetime) -> None:
            ledger.reserve(ask(name), at)
            ledger.settle(settled(name), at)
            ledger.written(ledger.head.sequence)

        one("run/x", NOON)
        ledger.lapse(NOON + 7 * DAY)
        later = NOON + 8 * DAY
        for number in range(50):
            one(f"run/{number}", later)
        assert "run/x" not in ledger.book.entries
        one("run/x", later + SECOND)
        for number in range(50, 101):
            one(f"run/{number}", later + 2 * SECOND)
        assert "run/x" in ledger.book.entries

    def test_who_settled_an_effect_is_remembered(self) -> None:
        ledger, who = under(policy()), SettledBy(by="ada", reason="looked at the flag")
        ledger.reserve(ask(), NOON)
        assert ledger.settle(settled("run/1").model_copy(update={"settled_by": who}), NOON).settled_by == who
        assert restarted(ledger).known("run/1").settled_by == who

    def test_outcomes_that_no_breaker_can_read_are_forgotten_with_the_windows(self) -> None:
        """Many repositories with 50 outcomes in each would fill the ledger for ever."""
        for repositories, org, repos, kept in (
            (60, BREAKER, {"r7": BREAKER, "r8": BREAKER}, 3 * OUTCOMES),
            (20, BREAKER, {}, OUTCOMES),
            (20, "", {"r7": BREAKER}, OUTCOMES),
            (20, "", {}, 0),
        ):
            book = under(policy(org=org, repos=repos)).book
            [entry] = granted().entries
            for number in range(repositories * 50):
                at = NOON + number * DAY / 200
                intent = entry.intent.model_copy(update={"repository": f"r{number % repositories}"})
                named = entry.model_copy(update={"id": f"run/{number}", "intent": intent})
                book.forget(at)
                book.apply(Granted(entry=named), at)
                book.apply(Settled(settlement=settled(named.id)), at)
            book.forget(at + DAY)
            assert len(book.entries) == kept
            again = Book(book.state())
            again.forget(at + 9 * DAY)
            assert len(again.entries) == kept

    def test_a_full_ledger_forgets_what_it_keeps_for_breakers_alone_rather_than_deny(self) -> None:
        ledger = under(policy(org=BREAKER))
        for number in range(2):
            ledger.reserve(ask(f"old/{number}"), NOON)
            ledger.settle(settled(f"old/{number}"), NOON + number * SECOND)
        [*old] = ledger.state.entries
        later = NOON + 2 * DAY
        [entry] = granted().entries
        many = tuple(
            entry.model_copy(update={"id": f"run/{number}", "phase": Phase.COMMITTED})
            for number in range(MAX_ENTRIES - 2)
        )
        full = Ledger(ledger.state.model_copy(update={"entries": (*old, *many), "unwritten": ()}))
        for number in range(2):
            assert isinstance(full.reserve(ask(f"new/{number}"), later), Allowed)
            assert len(full.book.entries) == MAX_ENTRIES
            assert f"old/{number}" not in full.book.entries, "the oldest first"
        assert rules(full.reserve(ask("new/2"), later).findings) == ["ledger.capacity"]


def granted() -> LedgerState:
    """A ledger's state after one grant."""
    ledger = under(policy())
    ledger.reserve(ask(), NOON)
    return ledger.state
