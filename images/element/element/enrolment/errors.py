"""Why an attempt to enrol failed."""


class EnrolmentError(RuntimeError):
    """The attempt failed; another, or another server, may do better."""
