"""The README shows what is run: its Python snippet is ``docs/first_call.py``."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_call_is_the_script_that_ci_runs() -> None:
    """Line for line, but for the script's docstring."""
    _, _, code = (ROOT / "docs/first_call.py").read_text(encoding="utf-8").partition('SDK, as tenant `acme`."""\n\n')
    assert code
    assert f"```python\n{code}```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_file_that_the_readme_links_to_exists() -> None:
    """Relative links only."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [part.split(")")[0] for part in text.split("](")[1:]]
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []
