"""`minigrad derive ... --exercise`: scripted through standard input, and at a terminal; every way to end it."""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minigrad.cli import main
from tests.helpers import heeds_ctrl_c

PROMPT = rb"(?:^|[\r\n])(?:\x1b\[[0-9;?]*[a-zA-Z])*> "  # at the start of a line; some editors of lines colour it


def dialog(monkeypatch, capsys, *answers, function="batchnorm"):
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{a}\n" for a in answers)))
    assert main(["derive", function, "--exercise", "--shape", "7,3"]) == 0
    return capsys.readouterr().out


def test_hints_and_what_they_say_lead_to_the_end(monkeypatch, capsys):
    answers: list[str] = []
    for _ in range(12):
        out = dialog(monkeypatch, capsys, *answers, "hint", "show")
        if "that is it" in out:
            break
        (line,) = [line for line in out.splitlines() if ": at " in line]
        letter, _, rest = line.partition(",")
        where = rest.partition(": at ")[2]
        parts = [
            line.split(None, 1) for line in out.rpartition("\npart\n")[2].splitlines() if line[:4].strip().isdigit()
        ]
        answers.append(f"{next(k for k, text in parts if text == where)} {letter}")
    assert "that is it: no dearer than what the engine arrives at" in out
    assert "d_x = gamma*(g - sum(g)/N - sum(g*x_hat)*x_hat/N)/std" in out
    assert "ops, " in out
    assert "equal at " in out


def test_what_is_not_understood_is_said_and_wrong_choices_are_counted(monkeypatch, capsys):
    out = dialog(monkeypatch, capsys, "1 f", "nonsense", "f", "99 a", "1 z", "", "undo", "help", "quit")
    assert "no: there is no factor that is constant along the axis that is summed over" in out
    assert out.count("not understood: expected a part and a rule") == 2
    assert "pull constants out of the sum: sum(c*a) = c*sum(a)" in out
    assert "there is no part 99: 1 to 12" in out
    assert "there is no step to take back" in out
    assert "0 steps, 1 that could not be, 0 hints" in out


def test_the_page_shows_what_it_says(monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "derivation.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"(> 4 f\n.*?384 bytes kept), \.\.\.\n```", page, re.DOTALL)
    monkeypatch.setattr(sys, "stdin", io.StringIO("4 f\n6 f\n"))
    assert main(["derive", "batchnorm", "--exercise"]) == 0
    assert block in capsys.readouterr().out


def test_the_end_of_the_input_ends_it(monkeypatch, capsys):
    assert dialog(monkeypatch, capsys).endswith("9 steps\n")
    assert "0 steps" in dialog(monkeypatch, capsys, function="cross_entropy")


COMMAND = [sys.executable, "-m", "minigrad", "derive", "batchnorm", "--exercise"]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("end", ["Ctrl-C", "Ctrl-D", "quit"])
def test_at_a_terminal_it_asks_and_ends_cleanly(end):
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        COMMAND, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=heeds_ctrl_c
    )
    os.close(theirs)
    try:
        seen = _until(ours, b"", lambda text: len(re.findall(PROMPT, text)) == 1)
        os.write(ours, b"1 f\n")
        seen = _until(ours, seen, lambda text: len(re.findall(PROMPT, text)) > 1)
        if end == "Ctrl-C":
            # Python's readline shows its prompt before it waits for keys: a signal between the two is only seen at
            # the next key, so that one is sent again, as at a keyboard, where none has come
            for _ in range(5):
                time.sleep(0.3)
                os.kill(running.pid, signal.SIGINT)
                more = _until(ours, b"", lambda text: b"interrupted" in text, seconds=5)
                seen += more
                if b"interrupted" in more:
                    break
        else:
            os.write(ours, b"\x04" if end == "Ctrl-D" else b"quit\n")
        seen = _until(ours, seen, lambda _: False, seconds=30)
        assert running.wait(30) == (130 if end == "Ctrl-C" else 0)
    finally:
        running.kill()
        running.wait()
        os.close(ours)
    text = seen.decode()
    assert "no: there is no factor" in text
    assert "Traceback" not in text
    assert ("minigrad: interrupted" in text) == (end == "Ctrl-C")
    assert ("1 that could not be" in text) == (end != "Ctrl-C")


def _until(terminal, seen, enough, seconds=60.0):
    """What the terminal shows after `seen`, until that is `enough`, or its other side is closed, or time is over."""
    end = time.monotonic() + seconds
    while not enough(seen) and time.monotonic() < end:
        if select.select([terminal], [], [], 0.5)[0]:
            try:
                more = os.read(terminal, 65536)
            except OSError:  # Linux says so when the other side is closed
                break
            if not more:
                break
            seen += more
    return seen
