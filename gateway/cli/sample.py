"""The sample report of the portal's `/voorbeeld`: fictitious figures, set by the same code as real ones."""


def sample_report() -> bytes:
    """A report of a school that does not exist, as PDF."""
    raise NotImplementedError
