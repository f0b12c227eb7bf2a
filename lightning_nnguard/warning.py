"""Warning categories, one per severity, so that `-W error::lightning_nnguard.FindingError` and the like work."""

from __future__ import annotations


class NNGuardWarning(UserWarning):
    """Anything that the guard warns about."""


class FindingInfo(NNGuardWarning):
    """A finding of severity INFO."""


class FindingWarning(NNGuardWarning):
    """A finding of severity WARNING."""


class FindingError(NNGuardWarning):
    """A finding of severity ERROR."""
