"""The errors kvae raises for its users: one line that says what was received, what was expected, what to do."""


class KvaeError(Exception):
    """Something the user can put right. The command line prints it as one line and exits with 1."""


class ConfigError(KvaeError):
    """A setting outside its range; raised when a config is made, before anything is read or written."""


class DataError(KvaeError):
    """A data set that is missing, unreadable or not the bits it should be."""


class BundleError(KvaeError):
    """A bundle, graph or manifest that cannot be found, read, trusted or made."""
