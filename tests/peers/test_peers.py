"""Every peer that is installed differs from SPEC.md exactly where the file beside its adapter says so."""

import json
import warnings

import pytest

from refq.jobs import conform, conform_report, golden
from tools import conformance_matrix

PEERS = [name for name in conformance_matrix.names() if not name.startswith("refq")]


@pytest.mark.peers
@pytest.mark.parametrize("name", PEERS)
def test_peer(name):
    with warnings.catch_warnings(action="ignore"):
        try:
            peer = conformance_matrix.implementation(name)
        except ImportError as reason:
            pytest.skip(f"{name} is not installed: {reason}")
        report = conform.conform([peer], xfails=conformance_matrix.expected(name))
    assert conform.succeeded(report), "\n".join(conform_report.faults(report))


@pytest.mark.parametrize("name", [name for name in PEERS if name != "javascript"])
def test_every_line_gives_the_rule_and_the_reason(name):
    path = conformance_matrix.PEERS / f"{name}_xfails.txt"
    assert not path.exists() or conformance_matrix.expected(name)


def test_ours_are_in_the_matrix():
    report = conformance_matrix.run(["refq", "refq_fast"])
    assert [one["name"] for one in report["implementations"]] == ["refq", "refq_fast"]
    assert conform.succeeded(report), "\n".join(conform_report.faults(report))


def test_only_the_right_answers_of_others_confirm():
    report = conform.conform([conform.Module("refq")], only=["integer_range"])
    manifest = {"confirmed": {"integer_range": {"peer@1": "1/14", "other@1": "2/14"}}}
    conformance_matrix.confirm(report, manifest)
    assert manifest["confirmed"] == {"integer_range": {"peer@1": "1/14", "other@1": "2/14"}}, "not by ourselves"
    column = report["implementations"][0]
    column |= {"name": "peer", "version": "2"}
    column["cases"][0]["status"] = "xfailed"
    total = sum(not case["refusal"] for case in column["cases"])
    conformance_matrix.confirm(report, manifest)
    assert manifest["confirmed"] == {"integer_range": {"other@1": "2/14", "peer@2": f"{total - 1}/{total}"}}
    column["cases"] = [case | {"status": "skipped"} for case in column["cases"]]
    conformance_matrix.confirm(report, manifest)
    assert manifest["confirmed"] == {"integer_range": {"other@1": "2/14"}}


def test_the_matrix_is_of_these_vectors():
    page = (golden.folder() / "CONFORMANCE.md").read_text(encoding="utf-8")
    assert golden.version() in page, "golden/CONFORMANCE.md is of other vectors: see tools/conformance_matrix.py"


def test_the_confirmations_are_of_these_vectors():
    manifest = json.loads((golden.folder() / "MANIFEST.json").read_text(encoding="utf-8"))
    for function, peers in manifest["confirmed"].items():
        total = sum("returns" in case for case in golden.load(function))
        for peer, count in peers.items():
            given, of = map(int, count.split("/"))
            assert 0 < given <= of == total, f"MANIFEST.json: {peer} confirms {count} of {function}; it has {total}"
