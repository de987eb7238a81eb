# SPDX-License-Identifier: BSD-2-Clause
"""Set-up of the system tests: markers, one more try after a freeze of the emulator, its count."""
import os

import pytest

from machine import FREEZES, Freeze


def pytest_configure(config):
    config.addinivalue_line("markers", "quick: part of `make check`")
    config.addinivalue_line("markers", "xdist_group(name): tests that share a machine")
    if not os.environ.get("PYTEST_XDIST_WORKER") and FREEZES.exists():
        FREEZES.unlink()


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """A freeze of the emulator itself is retried once; it stays in the count."""
    outcome = yield
    if outcome.excinfo and issubclass(outcome.excinfo[0], Freeze):
        args = {a: pyfuncitem.funcargs[a] for a in pyfuncitem._fixtureinfo.argnames}
        try:
            outcome.force_result(pyfuncitem.obj(**args) or True)
        except BaseException as error:  # the second result stands, whatever it is
            outcome._excinfo = (type(error), error, error.__traceback__)


def pytest_terminal_summary(terminalreporter):
    count = len(FREEZES.read_text().splitlines()) if FREEZES.exists() else 0
    terminalreporter.write_line(f"INFO: the emulator froze {count} times (each test tried again)")
