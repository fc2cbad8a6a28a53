"""Fixtures of the tests of several verbs."""

import sys

import pytest


@pytest.fixture
def no_page(monkeypatch):
    """An installation without the report extra."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "refq.app.signal_page", raising=False)
    monkeypatch.delitem(sys.modules, "refq.app.signal_plots", raising=False)
