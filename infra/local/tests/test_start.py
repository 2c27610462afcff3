"""The launcher itself."""

import pytest
from weir_local import __main__ as launcher


def test_another_version_is_refused_with_an_explanation(monkeypatch):
    monkeypatch.setattr(launcher, "version", lambda _name: "1.6.0")
    with pytest.raises(SystemExit, match="found MiniStack 1.6.0, but the patches were written for 1.5.33"):
        launcher.check_version()


def test_the_pinned_version_is_accepted():
    launcher.check_version()
