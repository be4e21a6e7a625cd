"""The merge request's text: complete for a reviewer, and inert whatever the event says."""

from leverframe.model.facts import ErrorFacts
from leverframe.model.proposals import Proposal, RevertChange
from tests.fakes.remediation_world import error_facts
from tests.unit.agents.test_suspects import proposed

HOSTILE = (
    "<!channel> [a](http://evil) ![b](http://evil/x.png) <script>x</script> ``` @ada #7 | \x1b[31m ../../"
)


def repair(facts: ErrorFacts) -> RevertChange:
    answer = proposed(facts)
    assert isinstance(answer, Proposal)
    return next(step.effect for step in answer.steps if isinstance(step.effect, RevertChange))


def test_the_title_is_short_and_entirely_ours() -> None:
    assert repair(error_facts(hostile=HOSTILE)).title == "Revert 333333333333: suspected cause of SHOP-1"


def test_the_body_tells_evidence_suspects_error_mitigation_and_undo() -> None:
    assert repair(error_facts(released=True)).body == EXPECTED


def test_hostile_text_in_the_body_is_inert() -> None:
    body = repair(error_facts(hostile=HOSTILE)).body
    outside, _, fenced = body.partition("````text")
    assert fenced, "the fence is longer than any run of backticks inside"
    assert "\x1b" not in body
    for active in ("<!channel>", "<script>", "](http://evil", "@ada", "#7"):
        assert active not in outside


EXPECTED = """\
**38 errors in the last 60 s, where 0.1 were expected.** This merge request undoes `333333333333`, \
the commit that last changed the crash frame's line; new in the live release.

[The run in Temporal](http://ui/namespaces/default/workflows/run) · service `shop` · group `SHOP-1`

### Evidence

| what | seen | needed | unit |
|---|--:|--:|---|
| errors in the last 60 s | 38 | 6 | errors |

### Suspects

| kind | name | weight | why |
|---|---|--:|---|
| flag | `new-pricing` | 100 % | on in 100% of 38 sampled errors, and on now |
| release | `111111111111` | 100 % | live for 100% of 38 errors that name a release; a line on the \
crash path came with it |
| commit | `333333333333` | 100 % | last changed the crash frame's line; new in the live release |

### The error

TypeError\\: unsupported operand

38 errors, 38 of them looked at, the first at 2026-03-02 12:00:00 UTC.

Route: /checkout

Frames in this repository, the crash first:

1. shop/pricing\\.py line 14 in bulk\\_price, last changed by `333333333333`

The trace as the service sent it, which anybody can forge:

```text
shop/pricing.py:14 in bulk_price
```

### Mitigation

The run asks first to switch the flag `new-pricing` off. To undo it, switch the flag back on; the run \
proposes that itself once this change has reached production and was checked.

If errors go on after that, the run asks to put production back to `222222222222`. To undo it, land a \
newer release: this change does that.

### If this is wrong

Close the merge request: nothing else follows from it. Once landed, reverting it brings the commit back.
"""
