"""The two errors a user sees: what happened, where, and what to do about it."""


class FusionError(Exception):
    """The work could not be done. The message names the corpus, file or key, and the fix. Exit code 1."""

    exit_code = 1


class UsageError(FusionError):
    """The call or the configuration is wrong. The message names the flag or key, and the fix. Exit code 2."""

    exit_code = 2
