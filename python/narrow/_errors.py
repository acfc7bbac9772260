"""What can go wrong."""


class NarrowError(Exception):
    """What narrow could not do. `code` is one of narrow.h's where the C library said so."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class ArgumentError(NarrowError, ValueError):
    """An argument or option is wrong."""


class DataError(NarrowError, ValueError):
    """Data do not fit the model, or are not finite."""


class FileError(NarrowError, OSError):
    """A file cannot be opened, read or written."""


OK, ARGUMENT, MODEL, DATA, FILE, SPACE, INTERNAL = range(7)

CLASSES = {ARGUMENT: ArgumentError, DATA: DataError, FILE: FileError}
