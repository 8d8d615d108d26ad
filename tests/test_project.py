"""What stands around the package agrees: versions, pins, lower bounds; and no page advises what does not work."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import minigrad

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# in two halves, so that this file does not hold what it looks for
REGISTRIES = [
    "py" + "pi.org",
    "py" + "pi.python",
    "python" + "hosted",
    "npm" + "js.",
    "--index" + "-url",
    "conda" + ".anaconda",
]
ADVICE = re.compile(r"pip " + r"install[^\n&`]*[\s\"']minigrad\b")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def committed():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_hooks_run_what_the_extra_test_installs(tool):
    (pin,) = [line.partition("==")[2] for line in EXTRAS["test"] if line.startswith(f"{tool}==")]
    (rev,) = re.findall(rf"repo: \S*{tool}\S*\n\s+rev: v(\S+)", read(".pre-commit-config.yaml"))
    assert rev == pin


def test_hooks_have_the_lower_bounds_that_the_project_has():
    (given,) = re.findall(r"additional_dependencies: \[(.*)\]", read(".pre-commit-config.yaml"))
    known = [*PROJECT["dependencies"], *EXTRAS["train"], *EXTRAS["test"]]
    assert {line.strip().strip('"') for line in given.split(",")} <= set(known)


def test_every_dependency_has_a_lower_bound():
    for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]:
        assert re.fullmatch(r"[\w-]+[>=]=[\w.]+|minigrad\[[\w,]+\]", line), line


def test_the_workflow_runs_every_python_that_is_promised():
    matrix = re.findall(r'"(3\.\d+)"', re.findall(r"python: \[.*\]", read(".github/workflows/tests.yml"))[0])
    classifiers = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert matrix == classifiers
    assert f">={matrix[0]}" == PROJECT["requires-python"]


def test_the_workflow_runs_scripts_that_exist():
    for script in re.findall(r"run: (\S+)", read(".github/workflows/tests.yml")):
        assert (ROOT / script).stat().st_mode & 0o111, f"{script} cannot be run"


def test_the_changelog_begins_with_this_version():
    assert re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[0] == minigrad.__version__


def test_no_file_names_a_registry_or_installs_minigrad_from_one():
    found = []
    for file in committed():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{file.name}: {name}" for name in REGISTRIES if name in text]
        found += [f"{file.name}: {advice}" for advice in ADVICE.findall(text)]
    assert not found


@pytest.mark.parametrize(
    ("text", "wrong"), [("pip " + 'install "minigrad[viz]"', True), ('pip install ".[viz]" && bin/minigrad', False)]
)
def test_such_advice_would_be_found(text, wrong):
    assert bool(ADVICE.search(text)) == wrong
