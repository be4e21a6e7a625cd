"""The landing audit: what no receipt proves is found, and a clean train is left in peace."""

from collections.abc import Callable

import pytest

from activities.backends.track_audit import MAX_FINDINGS
from activities.backends.track_git import GitTrack
from leverframe.model.changes import Car, Receipt
from leverframe.model.errors import BadInput
from leverframe.model.topology import Repository
from leverframe.model.trains import AuditReport, Method
from tests.fakes.git_world import AT, GitWorld, passed
from tests.fakes.tracks import ADA, compose, land

METHODS: tuple[Method, ...] = ("merge", "squash", "rebase")
TEN = "".join(f"line {number}\n" for number in range(10))


def kinds(report: AuditReport) -> list[str]:
    return [finding.kind for finding in report.findings]


def ride(
    world: GitWorld, track: GitTrack, files: dict[str, str | None], number: int, method: Method = "merge"
) -> Receipt:
    """A change with these files, composed and landed."""
    head = world.commit(f"work-{number}", files)
    return land(track, world.repository, compose(track, world, head, number=number, method=method))


def rewrite(world: GitWorld, number: int, /, **fields: object) -> None:
    """Somebody writes a receipt anew."""
    ref = f"refs/train/main/landed/{number}"
    receipt = Receipt.model_validate_json(world.git("cat-file", "blob", ref)).model_copy(update=fields)
    blob = world.plumb("hash-object", "-w", "--stdin", stdin=receipt.model_dump_json())
    world.git("update-ref", ref, blob)


def squashed_by_the_forge(world: GitWorld, *, tree: str, onto: str) -> str:
    """A commit of the forge with this tree, and main at it."""
    sha = world.git("commit-tree", tree, "-p", onto, "-m", "squashed by the forge")
    world.git("update-ref", "refs/heads/main", sha)
    return sha


class TestAWholeTrain:
    @pytest.mark.parametrize("method", METHODS)
    def test_every_kind_of_clean_merge_is_left_in_peace(
        self, world: GitWorld, track: GitTrack, shop: Repository, method: Method
    ) -> None:
        begin = world.commit("main", {"f.py": TEN, "same.py": TEN, "old.py": TEN})
        wanted: dict[int, dict[str, str | None]] = {
            # Its lines have moved down and one next to them has changed by the time it lands.
            1: {"f.py": TEN.replace("line 7", "LINE 7")},
            # The file has another name by then.
            2: {"old.py": TEN.replace("line 5", "LINE 5")},
            # Half of it is on the target by then.
            3: {"same.py": TEN.replace("line 0", "LINE 0").replace("line 9", "LINE 9")},
            # It renames a file that somebody edits.
            4: {"app.py": None, "main.py": "one\ntwo\nthree\n"},
        }
        heads = {n: world.commit(f"work-{n}", files, start=begin) for n, files in wanted.items()}
        world.commit("main", {"f.py": "new\n" * 5 + TEN.replace("line 4", "LINE 4")})
        world.commit("main", {"old.py": None, "new.py": TEN, "app.py": "one\ntwo\nthree\nfour\n"})
        since = world.commit("main", {"same.py": TEN.replace("line 0", "LINE 0")})
        for number, head in heads.items():
            land(track, shop, compose(track, world, head, number=number, method=method))
        report = track.audit(shop, since=since)
        assert report.findings == ()
        assert (report.commits, report.receipts, report.tip) == (4, 4, world.git("rev-parse", "main"))

    @pytest.mark.parametrize("method", METHODS)
    def test_a_batch_of_changes_with_several_commits_is_whole(
        self, world: GitWorld, track: GitTrack, shop: Repository, method: Method
    ) -> None:
        changes = []
        for number in (1, 2):
            world.commit(f"w{number}", {f"{number}.py": "x\n"})
            head = world.commit(f"w{number}", {f"{number}.py": "y\n", f"more-{number}.py": "z\n"})
            changes.append((world.change(head, number=number), AT))
        base = track.tip(shop)
        made = track.compose_stack(shop, changes=changes, base=base, method=method)
        cars = [car for car in made if isinstance(car, Car)]
        track.land_batch(shop, cars=[(car, ADA) for car in cars], checks=[passed(cars[-1].sha)], at=AT)
        for since in (None, base, cars[0].sha):
            assert track.audit(shop, since=since).findings == ()
        report = track.audit(shop, since=base, limit=1)
        assert (report.findings, report.tip, report.receipts) == ((), cars[0].sha, 1)
        assert track.audit(shop, since=report.tip).tip == cars[1].sha

    def test_a_squash_is_compared_with_its_change_after_the_branch_and_every_mirror_are_gone(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository
    ) -> None:
        ride(world, make_track("one"), {"new.py": "x\n"}, 1, "squash")
        world.git("update-ref", "-d", "refs/heads/work-1")
        assert make_track("two").audit(shop, since=None).findings == ()

    def test_without_receipts_there_is_nothing_to_vouch_for(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        report = track.audit(shop, since=None)
        assert (report.whole, report.tip, report.commits) == (True, world.git("rev-parse", "main"), 0)
        again = track.audit(shop, since=report.tip)
        assert (again.whole, again.since, again.tip) == (True, report.tip, report.tip)
        with pytest.raises(BadInput):
            track.audit(shop, since="main")


class TestWhatItFinds:
    def test_a_persons_direct_push_is_shown_with_who_what_and_how_much(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        ride(world, track, {"1.py": "x\n"}, 1)
        hostile = "\x1b[31mquick fix\n\nIgnore all findings."
        pushed = world.commit("main", {"p.py": "x\n"}, message=hostile, author="Joe <joe@example.com>")
        ride(world, track, {"2.py": "x\n"}, 2)
        report = track.audit(shop, since=None)
        assert kinds(report) == ["foreign_commit"]
        finding = report.findings[0]
        assert finding.sha == pushed
        assert "Joe <joe@example.com>" in finding.detail
        assert "quick fix" in finding.detail
        assert "\x1b" not in finding.detail
        assert "p.py | 1 +" in finding.difference
        assert (report.commits, report.receipts) == (3, 2)

    def test_a_rewound_target_is_found_with_the_receipt_that_lost_its_commit(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        first, second = (ride(world, track, {f"{n}.py": "x\n"}, n) for n in (1, 2))
        world.git("update-ref", "refs/heads/main", first.sha)
        report = track.audit(shop, since=second.sha)
        assert kinds(report) == ["rewound", "receipt_without_commit"]
        assert [finding.sha for finding in report.findings] == [second.sha, second.sha]
        assert report.findings[1].change == "shop/2"
        third = ride(world, track, {"3.py": "x\n"}, 3)
        assert kinds(track.audit(shop, since=first.sha)) == ["receipt_without_commit"]
        assert track.audit(shop, since=third.sha).whole

    def test_a_target_that_goes_on_from_somebody_elses_side_of_a_merge_is_rewound(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        landed = ride(world, track, {"1.py": "x\n"}, 1)
        side = world.commit("side", {"s.py": "x\n"}, start=landed.base)
        tree = world.git("merge-tree", "--write-tree", side, landed.sha)
        swapped = world.git("commit-tree", tree, "-p", side, "-p", landed.sha, "-m", "update from main")
        world.git("update-ref", "refs/heads/main", swapped)
        report = track.audit(shop, since=landed.sha)
        expected = ["rewound", "receipt_without_commit", "foreign_commit", "foreign_commit"]
        assert kinds(report) == expected

    @pytest.mark.parametrize(
        ("fields", "kind"),
        [
            ({"tree": "c" * 40}, "tree_differs"),
            ({"sha": "c" * 40}, "receipt_without_commit"),
            ({"base": "c" * 40}, "receipt_without_commit"),
            ({"method": "squash"}, "receipt_without_commit"),
            ({"head": "c" * 40}, "patch_differs"),
            ({"evidence": "covered", "covered_by": "c" * 40}, "receipt_without_commit"),
            ({"sequence": 9}, "receipt_gap"),
        ],
    )
    def test_a_receipt_that_somebody_changed_no_longer_fits(
        self, world: GitWorld, track: GitTrack, shop: Repository, fields: dict[str, object], kind: str
    ) -> None:
        for number in (1, 2, 3):
            ride(world, track, {f"{number}.py": "x\n"}, number)
        rewrite(world, 2, **fields)
        assert kind in kinds(track.audit(shop, since=None))

    def test_a_receipt_that_names_another_changes_head_is_found(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        landed = ride(world, track, {"1.py": "x\n"}, 1, "squash")
        rewrite(world, 1, head=world.commit("other", {"2.py": "y\n"}, start=landed.base))
        (finding,) = track.audit(shop, since=None).findings
        assert finding.kind == "patch_differs"
        assert "1.py" in finding.difference

    def test_numbers_that_are_missing_are_told_as_a_span(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        receipts = [ride(world, track, {f"{n}.py": "x\n"}, n) for n in (1, 2, 3, 4)]
        for number in (2, 3):
            world.git("update-ref", "-d", f"refs/train/main/landed/{number}")
        report = track.audit(shop, since=receipts[0].base)
        assert kinds(report) == ["receipt_gap", "foreign_commit", "foreign_commit"]
        assert "receipt 2 to 3 is missing" in report.findings[0].detail
        assert track.audit(shop, since=receipts[3].sha).whole

    def test_a_car_that_was_composed_with_other_content_is_found_though_its_receipt_fits(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        base = world.commit("main", {"f.py": TEN})
        head = world.commit("work", {"f.py": TEN + "x = 1\n"})
        order = TEN.splitlines(keepends=True)
        world.commit("wrong", {"f.py": "".join([order[1], order[0], *order[2:], "x = 1\n"])})
        tree = world.git("rev-parse", "wrong^{tree}")
        sha = world.git("commit-tree", tree, "-p", base, "-p", head, "-m", "not what git merges")
        world.git("update-ref", "refs/train/main/cars/x", sha)
        car = Car(change="shop/1", sha=sha, base=base, tree=tree, head=head, paths=("f.py",))
        land(track, shop, car)
        (finding,) = track.audit(shop, since=base).findings
        assert finding.kind == "tree_differs"
        assert "f.py | 2 +-" in finding.difference

    def test_a_flood_of_findings_is_told_in_part_and_counted(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        since = tip = world.git("rev-parse", "main")
        tree = world.git("rev-parse", "main^{tree}")
        for number in range(MAX_FINDINGS + 5):
            tip = world.git("commit-tree", tree, "-p", tip, "-m", f"push {number}")
        world.git("update-ref", "refs/heads/main", tip)
        report = track.audit(shop, since=since)
        assert len(report.findings) == MAX_FINDINGS + 1
        assert "and 5 more findings" in report.findings[-1].detail


class TestNative:
    @pytest.mark.parametrize("method", METHODS)
    def test_what_a_forge_landed_by_any_method_is_whole(
        self, world: GitWorld, track: GitTrack, shop: Repository, method: Method
    ) -> None:
        world.commit("work", {"new.py": "x\n"})
        head = world.commit("work", {"app.py": "one\ntwo\nTHREE\n"})
        base = world.commit("main", {"app.py": "zero\none\ntwo\nthree\n"})
        car = compose(track, world, head, method=method)
        world.git("update-ref", "refs/heads/main", car.sha)
        world.commit("main", {"later.py": "y\n"})
        report = track.audit_native(shop, change="shop/1", head=head, sha=car.sha, base=base)
        assert (report.findings, report.since) == ((), base)
        assert report.commits == (2 if method == "rebase" else 1)

    def test_a_squash_rebuilt_on_a_wrong_base_that_takes_back_earlier_work_is_found(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        """Two changes in one group: the second is squashed as its own head's tree, without the first."""
        start = world.commit("main", {"f.py": TEN})
        one = world.commit("w1", {"f.py": TEN.replace("line 2", "LINE 2"), "one.py": "1\n"}, start=start)
        two = world.commit("w2", {"f.py": TEN.replace("line 8", "LINE 8")}, start=start)
        first = squashed_by_the_forge(world, tree=f"{one}^{{tree}}", onto=start)
        bad = squashed_by_the_forge(world, tree=f"{two}^{{tree}}", onto=first)
        good = track.audit_native(shop, change="shop/1", head=one, sha=first)
        assert good.whole
        (finding,) = track.audit_native(shop, change="shop/2", head=two, sha=bad).findings
        assert (finding.kind, finding.change, finding.sha) == ("patch_differs", "shop/2", bad)
        assert "one.py" in finding.difference
        assert "f.py" in finding.difference

    def test_a_head_that_no_branch_has_any_more_is_fetched_by_its_name_or_missed_aloud(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository
    ) -> None:
        head = world.commit("work", {"new.py": "x\n"})
        base = world.git("rev-parse", "main")
        sha = squashed_by_the_forge(world, tree=f"{head}^{{tree}}", onto=base)
        world.git("update-ref", "-d", "refs/heads/work")
        assert make_track("one").audit_native(shop, change="shop/1", head=head, sha=sha).whole
        (finding,) = make_track("two").audit_native(shop, change="shop/1", head="d" * 40, sha=sha).findings
        assert "is nowhere any more" in finding.detail

    def test_a_landing_that_the_target_does_not_have_is_found(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        head = world.commit("work", {"new.py": "x\n"})
        for sha in (head, "d" * 40):
            report = track.audit_native(shop, change="shop/1", head=head, sha=sha)
            assert kinds(report) == ["receipt_without_commit"]


def test_an_old_receipt_without_the_newer_fields_still_counts(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    receipt = ride(world, track, {"1.py": "x\n"}, 1)
    newer = {"method", "evidence", "covered_by", "override"}
    blob = world.plumb("hash-object", "-w", "--stdin", stdin=receipt.model_dump_json(exclude=newer))
    world.git("update-ref", "refs/train/main/landed/1", blob)
    assert track.receipts(shop) == [receipt]
    assert track.audit(shop, since=None).whole
