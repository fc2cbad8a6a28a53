"""What README.md and the guides say can be done: links lead somewhere, commands and options exist, examples run."""

import doctest
import pathlib
import re
import shlex

import click
import pytest

from refq.app.main import main

ROOT = pathlib.Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*GUIDES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", ROOT / "golden" / "README.md"]
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^\$ cat (\S+)\n(.*?)^(?=\$|```)", re.MULTILINE | re.DOTALL)  # a file that a command takes
COMMAND = re.compile(r"^(?:\$ )?refq ((?:.*\\\n)*.*)", re.MULTILINE)


def name(page):
    return page.relative_to(ROOT).as_posix()


def anchors(text):
    """What follows # in a link to a heading, as GitHub and PyPI make it."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page, text):
    """Targets of relative links that are no file, or no heading of it."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in anchors(there.read_text(encoding="utf-8"))):
            yield target


def commands(text):
    """The command lines of refq in a page, in blocks and in `...`, as lists of words without the first."""
    lines = [line.replace("\\\n", " ") for block in BLOCK.findall(text) for line in COMMAND.findall(block)]
    lines += re.findall(r"`refq ([^`]+)`", BLOCK.sub("", text))
    return [shlex.split(line, comments=True) for line in lines if not line.startswith("VERB")]


def resolved(words):
    """The command that words call, and what is left of them."""
    command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(None, words[0])
        assert found, f"there is no verb {words[0]}"
        command, words = found, words[1:]
    return command, words


def check(words):
    """A call names a verb, options and values that exist, and no more arguments than the verb takes."""
    command, words = resolved(words)
    context = click.Context(command)
    values, arguments, _ = command.make_parser(context).parse_args(words)
    assert not arguments, f"{arguments} is more than {command.name} takes"
    for option in command.params:
        if not isinstance(option.type, click.Path) and option.name in values:
            option.type_cast_value(context, values[option.name])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    assert list(dead_links(page, page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_their_options_exist(page, tmp_path, monkeypatch):
    text = page.read_text(encoding="utf-8")
    for file, content in SHOWN.findall(text):
        (tmp_path / file).write_text(content)
    monkeypatch.chdir(tmp_path)
    found = commands(text)
    assert found
    for words in found:
        try:
            check(words)
        except (AssertionError, click.ClickException) as error:
            pytest.fail(f"{name(page)}: refq {shlex.join(words)}: {error}")


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_python_examples_are_right(page):
    blocks = [block.removesuffix("```") for block in BLOCK.findall(page.read_text(encoding="utf-8"))]
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, name(page), str(page), 0)
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_prose_can_be_read(page):
    prose = BLOCK.sub("", page.read_text(encoding="utf-8")).splitlines()
    assert [line for line in prose if len(line) > 120 and not line.startswith("|")] == []


def test_every_guide_is_linked_from_the_readme():
    text = GUIDES[0].read_text(encoding="utf-8")
    assert [name(page) for page in GUIDES[1:] if f"({name(page)})" not in text] == []


@pytest.mark.parametrize(
    "line",
    [
        "refq quantise a b",
        "refq quantize a --group 3",
        "refq quantize a b --bits 9",
        "refq info a",
        "refq plot scale a b",
    ],
)
def test_a_wrong_command_is_seen(line):
    (words,) = commands(f"```\n$ {line}\n```")
    with pytest.raises((AssertionError, click.ClickException)):
        check(words)


@pytest.mark.parametrize("target", ["no.md", "SPEC.md#no", "#no", "docs/quantizing.md#no"])
def test_a_dead_link_is_seen(target):
    assert list(dead_links(ROOT / "README.md", f"[x]({target}) [y](SPEC.md#quantize) [z](docs)")) == [target]
