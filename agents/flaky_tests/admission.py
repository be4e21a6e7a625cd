"""Whether a flaky test may be quarantined at all, and whether a person must approve it."""

from leverframe.model.paths import matches
from leverframe.model.quarantine import FlakyFinding, QuarantineCaps


def denied(finding: FlakyFinding, caps: QuarantineCaps) -> str:
    """Why it may not, in words of ours; empty if it may."""
    for glob in caps.deny_paths:
        if matches(finding.path, glob) or matches(finding.path.casefold(), glob.casefold()):
            return f"policy never quarantines tests in {glob}"
    for marker in sorted(set(caps.deny_markers) & set(finding.markers or ())):
        return f"policy never quarantines tests marked {marker}"
    if caps.deny_paths and not finding.path:
        return (
            "its file is not known, so policy's forbidden paths can't be checked: let its reports name files "
            "(docs/how-to/send-test-results.md says how)"
        )
    if finding.unhealed and not caps.renewals:
        return "its quarantine ended though it had not healed, and policy lets none go on"
    if owner_of(finding, caps) is None:
        return "CODEOWNERS gives its file to nobody, and policy names nobody instead"
    return "" if finding.masks else "no failure of it is known that could be hidden"


def asks_for(finding: FlakyFinding, caps: QuarantineCaps, strength: int) -> str:
    """Why a person must approve it; empty when it may land by itself. `strength`: of what is to be hidden."""
    if finding.unhealed:
        return "its quarantine ended though it had not healed"
    if strength < caps.by_itself:
        return "the evidence is not enough to land by itself"
    if caps.deny_markers and finding.markers is None:
        return "its reports do not tell its marks, and policy forbids some"
    return ""


def owner_of(finding: FlakyFinding, caps: QuarantineCaps) -> str | None:
    """Whose it is by CODEOWNERS or policy; None: nobody's."""
    return finding.owner or caps.fallback_owner
