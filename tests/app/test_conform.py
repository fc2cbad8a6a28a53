"""refq conform and refq golden: what is right passes, and everything that is wrong is reported as what it is."""

import json
import signal
import sys
import textwrap
import time
import types
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner

import refq
from refq.app.conform import command
from refq.app.golden import command as golden_command
from refq.app.main import main
from refq.errors import UsageError
from refq.jobs import conform, conform_report, golden
from refq.jobs.foreign import Program, value
from refq.jobs.process import LINE

ONE = golden.load("quantize")[0]
ANSWERS = """
import json, sys, time
sys.path.insert(0, {root!r})
import refq
from refq.jobs import golden
for line in sys.stdin:
    request = json.loads(line)
    if request["cmd"] == "start":
        answer = {{"protocol": 1, "name": "sample", "version": "7", "operators": ["quantize", "integer_range"]}}
    elif request["cmd"] == "stop":
        break
    else:
        answer = {{"seq": request["seq"]}}
        try:
            result = getattr(refq, request["function"])(**golden.decode(request["args"]))
            answer["returns"] = golden.encode(result)
        except Exception as error:
            answer["raises"] = "Refused"
            answer["message"] = str(error)
    {change}
    print(json.dumps(answer), flush=True)
"""


def module(**functions):
    """A module with these functions."""
    made = types.ModuleType("theirs")
    vars(made).update(functions)
    return made


def run(implementation, only=("quantize",), xfails=()):
    """The column of one implementation."""
    return conform.conform([implementation], only, xfails)["implementations"][0]


def statuses(column):
    return {case["id"]: case["status"] for case in column["cases"]}


def texts(column):
    return " / ".join(case["text"] for case in column["cases"])


@pytest.fixture
def program(tmp_path):
    """A maker of programs that answer rightly, apart from one change made before an answer is printed."""

    def make(change="pass", seconds=5.0, body=None):
        path = tmp_path / "program.py"
        path.write_text(body or ANSWERS.format(root=sys.path[0] or ".", change=change))
        return Program(f"{sys.executable} {path}", seconds, max(seconds, 5.0))

    return make


@pytest.fixture(autouse=True)
def _root(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.config.rootpath))


def wrong_quantize(x, scale, zero_point, qmin, qmax):
    return np.clip(np.floor(x / scale + 0.5) + zero_point, qmin, qmax).astype(np.int32)


def test_a_right_module_passes():
    column = run(conform.Module(refq))
    assert set(statuses(column).values()) == {"passed"}
    assert len(column["cases"]) == len(golden.load("quantize"))


def test_a_wrong_module_fails_by_the_rule_it_breaks():
    column = run(conform.Module(module(quantize=wrong_quantize)))
    assert statuses(column)["ties-to-even"] == "failed"
    assert statuses(column)["three-fifths"] == "passed"
    report = {"golden": "1", "functions": ["quantize"], "implementations": [column]}
    assert not conform.succeeded(report)
    assert "quantize/ties" in conform_report.table(report)


def test_a_failure_says_what_the_case_is_about_and_the_summary_which_mistake_it_is():
    report = conform.conform([conform.Module(module(quantize=wrong_quantize))], ["quantize", "integer_range"])
    text = conform_report.table(report)
    case = next(case for case in golden.load("quantize") if case["id"] == "ties-to-even")
    assert f"theirs.quantize, case ties-to-even (quantize/ties; {case['comment']}): [" in text
    failed = [case for case in report["implementations"][0]["cases"] if case["status"] == "failed"]
    ties = sum("TieRounding" in case["flags"] for case in failed)
    *_, summary, files = text.splitlines()
    assert summary.startswith(f"theirs.quantize: {len(failed)} cases fail; ")
    assert f"; TieRounding ({ties}): {golden.notes()['TieRounding']}" in summary
    assert files == f"cases: {golden.folder()}/v1/quantize.json"


def test_a_cell_tells_numbers_from_refusals_and_only_what_is_offered_has_a_row():
    report = conform.conform([conform.Module(module(quantize=wrong_quantize))])
    failed = [case for case in report["implementations"][0]["cases"] if case["status"] == "failed"]
    refusals, total = sum(case["refusal"] for case in failed), len(golden.load("quantize"))
    shares = f"{total - len(failed)}/{total} ({len(failed) - refusals} numbers, {refusals} refusals wrong)"
    lines = conform_report.table(report).splitlines()
    assert lines[1].split(maxsplit=1)[0] == "quantize"
    assert f"{shares} quantize/ties" in lines[1]
    assert lines[2].endswith(shares)
    assert lines[3] == f"{len(golden.functions()) - 1} operators not offered"


def test_expected_failures_are_counted_apart(tmp_path):
    lines = xfails(tmp_path, "quantize quantize/ties  # ties go up\n* refusals  # takes anything")
    report = conform.conform([conform.Module(module(quantize=wrong_quantize))], ["quantize"], lines)
    expected = list(statuses(report["implementations"][0]).values()).count("xfailed")
    row, total = conform_report.table(report).splitlines()[1:3]
    assert f" wrong) +{expected} expected quantize/" in row
    assert "refusal" not in row
    assert total.endswith(f"+{expected} expected")


def test_failures_of_several_functions_name_the_folder_and_none_names_nothing():
    wrong = conform.Module(module(quantize=lambda **_: 0, dequantize=lambda **_: 0))
    lines = conform_report.table(conform.conform([wrong], ["quantize", "dequantize"])).splitlines()
    assert lines[-1] == f"cases: {golden.folder()}/v1/<function>.json"
    right = conform_report.table(conform.conform([conform.Module(refq)], ["quantize"]))
    assert "cases" not in right


@pytest.mark.parametrize(
    "wrong",
    [lambda **_: None, lambda **_: [[1], [1, 2]], lambda **_: object(), lambda **_: sys.exit(3), lambda: 1],
    ids=["none", "ragged", "object", "exit", "signature"],
)
def test_results_of_no_shape_fail_and_do_not_stop_the_run(wrong):
    column = run(conform.Module(module(quantize=wrong)))
    assert len(column["cases"]) == len(golden.load("quantize"))
    assert {case["status"] for case in column["cases"] if not case["refusal"]} == {"failed"}


def test_what_is_missing_is_not_offered_and_what_cannot_be_said_is_skipped():
    def quantize(**_):
        raise NotImplementedError("no such type")

    column = run(conform.Module(module(quantize=quantize)), only=("quantize", "dequantize"))
    assert set(statuses(column).values()) == {"skipped"}
    report = {"golden": "1", "functions": ["dequantize", "quantize"], "implementations": [column]}
    assert [row[1] for row in list(conform_report.rows(report))[1:3]] == ["-", f"+{len(column['cases'])} skipped"]
    assert not conform.succeeded(report), "nothing ran"
    assert "no case ran" in conform_report.table(report)


def test_a_module_may_be_the_path_of_a_file(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "beside.py").write_text("from refq import quantize\n")
    (tmp_path / "sub" / "tinyquant.py").write_text("from beside import quantize\n__version__ = '3'\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.chdir(tmp_path)
    made = conform.Module("./sub/tinyquant.py")
    assert (made.name, made.version) == ("tinyquant", "3")
    assert set(statuses(run(made)).values()) == {"passed"}
    (tmp_path / "broken.py").write_text("import no_such_thing\n")
    with pytest.raises(UsageError, match="broken.py: cannot be imported .*no_such_thing"):
        conform.Module("broken.py")


def test_only_names_in_all_are_offered():
    made = module(quantize=refq.quantize, dequantize=refq.dequantize, __all__=["quantize"])
    assert [conform.Module(made).offers(name) for name in ("quantize", "dequantize")] == [True, False]


def test_errors_of_a_foreign_module_count_and_are_named_but_ours_must_be_right():
    def quantize(**_):
        raise ArithmeticError("no")

    column = run(conform.Module(module(quantize=quantize)))
    assert statuses(column)["nan"] == "passed"
    assert "raised ArithmeticError; NonFiniteError by SPEC" in texts(column)
    ours = module(quantize=quantize)
    ours.__name__ = "refq"
    assert set(statuses(run(conform.Module(ours))).values()) == {"failed"}


def test_a_right_program_passes(program):
    column = run(program(), only=())
    assert (column["name"], column["version"]) == ("sample", "7")
    assert {case["function"] for case in column["cases"]} == {"quantize", "integer_range"}
    assert set(statuses(column).values()) == {"passed"}
    assert "raised Refused; GridError by SPEC" in texts(column)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("if 'seq' in answer: sys.stderr.write('kaboom'); sys.stderr.flush(); sys.exit(9)", "exit code 9; stderr: kab"),
        ("if 'seq' in answer: import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        ("if 'seq' in answer: answer['seq'] += 1", "answered seq 2; 1 was due"),
        ("if 'seq' in answer: print('hello')", "b'hello', no JSON object"),
        ("if 'seq' in answer: answer = [1]", "no JSON object"),
        ("if 'seq' in answer: answer['returns'] = float('nan')", "no JSON object"),
        ("if 'seq' in answer: print('[' * 9999)", "no JSON object"),
        (f"if 'seq' in answer: print('x' * {LINE + 1}, flush=True); time.sleep(60)", f"more than {LINE} bytes"),
        ("if 'seq' in answer: import os; os.close(1); time.sleep(60)", "closed its output"),
        ("if 'seq' in answer: answer = {'seq': answer['seq']}", "none of returns, raises and skipped"),
        ("if 'seq' in answer: answer['returns'] = {'dtype': 'object', 'shape': [1], 'data': [1]}", "malformed"),
        ("if 'seq' in answer: answer['returns'] = {'dtype': 'int32', 'shape': [1], 'data': [0.5]}", "malformed"),
        ("if 'seq' in answer: answer['returns'] = {'dtype': 'int32', 'shape': [9], 'data': [1]}", "malformed"),
        ("if 'seq' in answer: answer['returns'] = {'dtype': 'int32'}", "malformed"),
    ],
    ids=lambda text: None if "answer" in text else text,
)
def test_a_wrong_program_is_reported_and_the_run_goes_on(program, change, text):
    column = run(program(change))
    assert text in column["cases"][0]["text"]
    assert statuses(column)[ONE["id"]] == "failed"
    assert len(column["cases"]) == len(golden.load("quantize"))


def test_a_program_that_crashes_once_is_started_again(program, tmp_path):
    column = run(program(f"if answer.get('seq') == 2: open({str(tmp_path / 'x')!r}, 'x'); sys.exit(1)"))
    assert [case["status"] for case in column["cases"]].count("failed") == 1
    assert "exit code 1" in texts(column)


def test_a_program_that_breaks_again_and_again_is_given_up(program):
    column = run(program("if 'seq' in answer: sys.exit(1)"))
    assert [case["text"].startswith("not run") for case in column["cases"][:5]] == [False, False, False, True, True]


def test_a_program_that_hangs_is_killed_with_its_children(program):
    change = "if answer.get('seq') == 2: import subprocess; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    column = run(program(change, seconds=0.5))
    assert column["cases"][1]["text"] == "no answer within 0.5 s"
    assert column["cases"][2]["status"] == "passed"


def test_a_program_that_does_not_stop_is_killed(program):
    deaf = """
import sys, time
sys.stdin.readline()
print('{"protocol": 1, "operators": []}', flush=True)
time.sleep(60)
"""
    with program(body=deaf) as made:
        process = made._process._process
    assert process.returncode == -signal.SIGKILL


def test_an_interrupt_ends_the_program_at_once(program):
    made, started = program(), time.monotonic()

    def interrupted():
        with made:
            made._process.send(b"")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert made._process is None
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("import sys; sys.exit('no licence')", "exit code 1; stderr: no licence"),
        ('print(\'{"protocol": 2, "operators": []}\', flush=True); input()', "protocol 1 and operators were due"),
        ("print('Welcome!', flush=True); input()", "no JSON object"),
    ],
    ids=["ends", "protocol", "banner"],
)
def test_a_program_that_does_not_start(program, body, text):
    column = run(program(body=body))
    assert text in column["fault"]
    report = {"golden": "1", "functions": ["quantize"], "implementations": [column]}
    assert not conform.succeeded(report)
    assert conform_report.table(report) == f"{column['name']} cannot run: {column['fault']}\n"
    both = conform_report.table(report | {"implementations": [run(conform.Module(refq)), column]}).splitlines()
    assert text in both[0]
    assert both[-1].endswith("cannot run")


def test_a_request_fits_into_a_pipe():
    longest = max(len(json.dumps(case["args"])) for name in golden.functions() for case in golden.load(name))
    assert longest < 60_000, "a program that does not read could block us"


def test_values_and_back():
    for item in (np.float32([1, -0.0, np.inf, np.nan]), np.uint8([[1, 255]]), 3, None, "a"):
        np.testing.assert_array_equal(value(json.loads(json.dumps(golden.encode(item)))), item)
    assert value([{"a": {"dtype": "bool", "shape": [1], "data": [True]}}])[0]["a"].dtype == bool


def xfails(tmp_path, text):
    path = tmp_path / "xfails.txt"
    path.write_text(textwrap.dedent(text))
    return conform.read_xfails(path)


@pytest.mark.parametrize("line", ["quantize ties-to-even", "quantize quantize/ties", "quantize *", "* quantize/ties"])
def test_an_expected_failure_is_no_failure(tmp_path, line):
    made = conform.Module(module(quantize=wrong_quantize))
    before = statuses(run(made))
    column = run(made, xfails=xfails(tmp_path, f"# heading\n\n{line}  # rounds ties up\n"))
    assert statuses(column)["ties-to-even"] == "xfailed"
    assert {case["reason"] for case in column["cases"] if case["status"] == "xfailed"} == {"rounds ties up"}
    assert column["stale"] == []
    left = {name for name, status in statuses(column).items() if status == "failed"}
    assert left < {name for name, status in before.items() if status == "failed"} or (line == "quantize *" and not left)


def test_refusals_can_be_expected_to_fail_together(tmp_path):
    column = run(
        conform.Module(module(quantize=lambda **_: 0)), xfails=xfails(tmp_path, "* refusals  # takes anything")
    )
    due = {case["id"] for case in golden.load("quantize") if "raises" in case}
    assert {name for name, status in statuses(column).items() if status == "xfailed"} == due


@pytest.mark.parametrize("line", ["quantize ties-to-even", "quantize *", "quantize no-such-case", "nonsense *"])
def test_an_expected_failure_that_passes_is_a_failure(tmp_path, line):
    column = run(conform.Module(refq), xfails=xfails(tmp_path, f"{line}  # reason"))
    report = {"golden": "1", "functions": ["quantize"], "implementations": [column]}
    assert "xfails line 1" in column["stale"][0]
    assert not conform.succeeded(report)
    assert "xfails line 1" in conform_report.junit(report)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("quantize quantize.3", "quantize has no case quantize.3"),
        ("quantize quantize/halves", "quantize has no case that cites quantize/halves"),
        ("* quantize/halves", "no function has a case that cites quantize/halves"),
        ("quantise *", "there is no function quantise"),
        ("quantize nan", "no case of quantize nan fails; remove the line"),
        ("quantize refusals", "no case of quantize refusals fails; remove the line"),
    ],
)
def test_a_line_about_nothing_says_so(tmp_path, line, text):
    stale = run(conform.Module(refq), only=(), xfails=xfails(tmp_path, f"{line}  # reason"))["stale"]
    assert stale == [f"xfails line 1: {text}"]


@pytest.mark.parametrize("line", ["dequantize *", "* dequantize/order"])
def test_lines_about_other_functions_do_not_count(tmp_path, line):
    lines = xfails(tmp_path, f"{line}  # reason")
    assert run(conform.Module(refq), xfails=lines)["stale"] == []
    assert run(conform.Module(refq), only=(), xfails=lines)["stale"] != []


@pytest.mark.parametrize("line", ["quantize nan", "quantize # reason", "quantize a b  # reason"])
def test_a_malformed_line(tmp_path, line):
    with pytest.raises(UsageError, match="line 1"):
        xfails(tmp_path, line)


def test_reports(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text("from refq import dequantize\ndef quantize(**_): return '|\\n\\x00'\n")
    files = [tmp_path / f"r.{ending}" for ending in ("xml", "json", "md")]
    options = [part for file in files for part in ("--report", str(file))]
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, ["--module", "theirs", "--module", "refq", *options])
    assert result.exit_code == 1
    assert "theirs" in result.stdout.splitlines()[0]
    suites = ET.parse(files[0]).getroot()
    assert [suite.get("failures") != "0" for suite in suites] == [True, False]
    assert len(suites[0].findall("testcase/failure")) == int(suites[0].get("failures"))
    document = json.loads(files[1].read_text())
    assert [one["name"] for one in document["implementations"]] == ["theirs", "refq"]
    assert "| quantize |" in files[2].read_text()
    merged = conform.merge([document, document])
    assert conform_report.rows(merged).__next__() == conform_report.rows(document).__next__()
    with pytest.raises(UsageError, match="different golden sets"):
        conform.merge([document, document | {"golden": "2"}])


def test_both_packages_by_default():
    result = CliRunner().invoke(command, ["--only", "integer_range"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == [
        "operator",
        "refq",
        refq.__version__,
        "refq_fast",
        refq.__version__,
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--module", "no_such_module"], "no_such_module: cannot be imported"),
        (["--module", "./tinyquant"], "--module takes a module name, such as tinyquant, found from the current folder"),
        (["--module", "no_such_file.py"], "no_such_file.py: no such file"),
        (["--command", "no-such-program-xyz"], "no such program"),
        (["--command", ""], "no such program"),
        (["--only", "quantise"], "--only quantise"),
        (["--report", "report.txt"], ".xml, .json or .md"),
        (["--report", "no/such/report.md"], "no such folder"),
        (["--xfails", "missing.txt"], "missing.txt"),
        (["--xfails", __file__], "one implementation"),
    ],
    ids=lambda item: item[1] if isinstance(item, list) else None,
)
def test_usage(arguments, text, capsys):
    with pytest.raises(SystemExit) as done:
        main.main(["conform", *arguments])
    assert done.value.code == 2
    assert text in capsys.readouterr().err


def test_golden_check():
    result = CliRunner().invoke(golden_command, ["check"])
    assert result.exit_code == 0
    assert f"{len(golden.functions())} files" in result.stdout


def test_the_help_of_golden_is_not_cut():
    text = CliRunner().invoke(golden_command, ["--help"], terminal_width=80).output
    assert "  Verify every file against MANIFEST.json.\n" in text
