"""What people may tell a release."""

from leverframe.model.changes import Author
from workflows.release.helm import Helm, Order

ADA = Author(kind="person", name="ada")


def order(person: str) -> Order:
    return Order(person=person, reason="tested by hand")


def test_a_step_is_left_by_two_people_and_by_three_as_well() -> None:
    wanted = [Helm(leaving=tuple(order(name) for name in names)) for names in ("b", "bc", "bcd")]
    assert [helm.leaves for helm in wanted] == [False, True, True]


def test_the_author_the_same_person_twice_and_a_paused_release_are_refused() -> None:
    helm = Helm(leaving=(order("bob"),))
    assert helm.refuses_promotion(order("cleo"), ADA, 5) is None
    assert "wrote the change" in str(helm.refuses_promotion(order("ada"), ADA, 5))
    assert "a second person" in str(helm.refuses_promotion(order("bob"), ADA, 5))
    assert "no step" in str(helm.refuses_promotion(order("cleo"), ADA, 0))
    paused = helm.model_copy(update={"paused": order("dora")})
    assert "resume it first" in str(paused.refuses_promotion(order("cleo"), ADA, 5))
