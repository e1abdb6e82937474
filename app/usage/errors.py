"""Why usage cannot be told."""

from __future__ import annotations


class UsageNotConfiguredError(Exception):
    """The service was not told of any Prometheus."""

    def __init__(self) -> None:
        super().__init__(
            "Usage is not set up here: ask your platform team to set MAAS_USAGE_PROMETHEUS_URL "
            "(docs/usage.md says how)."
        )


class UsersNotRecordedError(Exception):
    """There are metrics of the gateway, but they do not say who sent the requests."""

    def __init__(self) -> None:
        super().__init__(
            "The gateway's metrics do not record who sends requests, so nobody's usage is known; ask your "
            "platform team to turn that on (docs/usage.md says how)."
        )


class UsageUnavailableError(Exception):
    """Prometheus does not answer, or not in time; `str()` is for the log."""


class UsageAnswerError(Exception):
    """Prometheus refuses, or its answer cannot be relied upon; `str()` is for the log."""


class UsageTooLargeError(Exception):
    """The answer is larger than is read or given at once."""

    def __init__(self) -> None:
        super().__init__(
            "That is too much for one answer; ask for a shorter window, or for one user, tier or model."
        )


class WindowError(ValueError):
    """No window, or no step for it; `str()` says what is accepted."""
