"""SPEC.md against the code and the golden files."""

import pathlib
import re

import pytest

import refq
from refq.jobs import golden
from tools.golden import spec_examples, spec_rules

TEXT = (pathlib.Path(__file__).resolve().parents[1] / "SPEC.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([a-z0-9_]+)\n(.*?)(?=^#|\Z)", TEXT, re.M | re.S))
RULES = spec_rules()
CITED = [rule for name in golden.functions() for case in golden.load(name) for rule in case["spec"]]
PARTS = ("Signature", "Inputs", "Output", "Steps", "Errors", "Laws", "Example", "Source", "Since")


@pytest.mark.parametrize("name", refq.__all__)
def test_every_function_has_a_section(name):
    assert name in SECTIONS, f"SPEC.md has no section ## {name}"
    missing = [part for part in PARTS if not re.search(rf"^{part} ", SECTIONS[name], re.M)]
    assert not missing, f"section {name} lacks {missing}"
    assert any(rule.startswith(f"{name}/") for rule in RULES), f"section {name} has no rule id"


def test_every_section_has_a_function():
    assert set(SECTIONS) <= set(refq.__all__)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_two_cases(rule):
    assert CITED.count(rule) >= 2, f"rule {rule} has {CITED.count(rule)} golden cases; at least 2 are due"


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_stands_in_its_own_section(rule):
    assert rule.split("/")[0] in SECTIONS
    assert f"[{rule}]" in SECTIONS[rule.split("/")[0]]


@pytest.mark.parametrize(("name", "args", "returns"), spec_examples(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_example_is_a_golden_case(name, args, returns):
    assert any(
        c["source"] == "spec-example" and c["args"] == args and c["returns"] == returns for c in golden.load(name)
    ), f"run python -m tools.golden extract: the example of {name} is not in its golden file"


@pytest.mark.parametrize("name", refq.__all__)
def test_the_example_stands_last_and_cites_a_step(name):
    """Put first, or under a rule of the inputs, it would hide in a report which step went wrong."""
    case = golden.load(name)[-1]
    assert case["source"] == "spec-example", "run python -m tools.golden extract"
    cited = re.search(r"^Steps .*?(?=^[A-Z])", SECTIONS[name], re.M | re.S)[0]
    assert f"[{case['spec'][0]}]" in cited, (
        f"run python -m tools.golden extract: {case['spec'][0]} is no step of {name}"
    )


def test_every_section_has_an_example():
    assert sorted(name for name, _, _ in spec_examples()) == sorted(SECTIONS)
