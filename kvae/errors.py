"""The errors kvae raises for its users: one line with what was received, what was expected, and what to do."""


class KvaeError(Exception):
    """Something the user can fix. The command line prints it as one line and exits with 1."""


class ConfigError(KvaeError):
    """A setting outside its range; raised when a config is made, before anything is read or written."""


class DataError(KvaeError):
    """A data set that is missing, unreadable, or does not have the expected bits."""


class BundleError(KvaeError):
    """A bundle, graph or manifest that cannot be found, read, trusted or made."""
