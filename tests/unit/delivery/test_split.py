"""The canary gets exactly its share."""

from hypothesis import given
from hypothesis import strategies as st

from leverframe.delivery.split import Split


@given(percent=st.integers(0, 100), blocks=st.integers(1, 5), seed=st.text(max_size=5))
def test_of_every_hundred_requests_exactly_the_share_goes_to_the_canary(
    percent: int, blocks: int, seed: str
) -> None:
    split = Split(seed)
    for _ in range(blocks):
        assert sum(split.canary(percent) for _ in range(100)) == percent


def test_a_rhythm_in_the_requests_does_not_decide_who_gets_the_canary() -> None:
    """Every fourth request is of another kind: the canary sees that kind at its share, too."""
    split = Split("shop/production")
    sent = [split.canary(25) for _ in range(4000)]
    for kind in range(4):
        assert 200 < sum(sent[kind::4]) < 300


def test_the_same_seed_splits_the_same_way() -> None:
    one, other = Split("shop/production"), Split("shop/production")
    assert [one.canary(5) for _ in range(500)] == [other.canary(5) for _ in range(500)]
