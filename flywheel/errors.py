"""Every error the flywheel raises on purpose. A message says what was wrong, where, and what to do next.

FlywheelError
├── BadData          the content is wrong: a log, a table, a record, a signature (retrying will not help)
│   └── BadSchema    a table or record does not have the columns, types or order it must have
├── BadTransport     the content could not be reached or written (retrying may help)
├── GateFailed       a check that guards a promotion said no
├── NotEvaluable     a question cannot be answered from this data; never the same as "no"
└── MissingExtra     an optional part is not installed
"""

import importlib
from types import ModuleType


class FlywheelError(Exception):
    """Base of all expected failures; its text is meant to be read by a person."""


class BadData(FlywheelError):
    """The content is wrong. Retrying will not help."""


class BadSchema(BadData):
    """A table or record has not the columns, types or order it must have."""


class BadTransport(FlywheelError):
    """The content could not be reached or written. Retrying may help."""


class GateFailed(FlywheelError):
    """A check that guards a promotion said no."""


class NotEvaluable(FlywheelError):
    """The question cannot be answered from this data."""


class MissingExtra(FlywheelError):
    """An optional part is not installed."""


def require(module: str, *, extra: str) -> ModuleType:
    """The imported module, or MissingExtra naming the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as err:
        raise MissingExtra(f"{module} is not installed. Run: pip install 'scenario-flywheel[{extra}]' ({err})") from err
