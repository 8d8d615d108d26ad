"""`minigrad derive ... --exercise`: which rule comes next? A dialog, at a terminal or from a file on standard input."""

from __future__ import annotations

import string
import sys
import textwrap
from typing import TYPE_CHECKING

from .problems import say

if TYPE_CHECKING:
    from ..derivation import Derivation
    from ..derivation.practice import Practice

HELP = """3 c    apply rule c to part 3, if it may be applied
c      what rule c says
show   formulas, parts and rules, as they stand
hint   the rule that the engine would use next, and where
undo   take the last step back
quit   end; so do Ctrl-D and Ctrl-C"""


def practise(d: Derivation) -> int:
    """The dialog; ends when the formulas cost no more than the engine's, at `quit` and at the end of the input."""
    from ..derivation.practice import Practice

    p = Practice(d)
    wrong = hints = 0
    start, goal = d.steps[0].cost, d.steps[-1].cost
    say("Which rule comes next? Choose a part of the formulas and a rule: `3 c`. `help` shows what else there is.")
    say("Means, products and sums are flat from the start, and stay so.\n\nforward")
    for t in d.forward.as_recorded().values:
        say(f"    {t.name} = {p.text.definition(t)}")
    for name, form in d.assumed.items():
        say(f"    assumed: {name} {form}")
    say(f"\nrecorded: {start.ops} ops; the engine arrives at {goal.ops}, of which {goal.passes} go over whole arrays\n")
    _show(p)
    while not p.done():
        answer = _asked()
        if answer is None or answer in ("quit", "q", "exit"):
            break
        if answer == "hint":
            hints += 1
        wrong += not _done(p, answer)
    else:
        say("that is it: no dearer than what the engine arrives at")
        for label, root in zip(d.labels, p.roots, strict=True):
            say(f"    {label} = {p.text(root)}")
    parts = [f"{len(p.way) - 1} steps", f"{wrong} that could not be", f"{hints} hints"]
    say(f"{', '.join(parts)}; `minigrad derive` without --exercise shows the engine's way, {len(d.steps) - 1} steps")
    return 0


def _asked() -> str | None:
    """The next answer; None at the end of the input. Answers that nobody typed are shown, so that the dialog reads."""
    try:
        answer = input("> ")
    except EOFError:
        say("")
        return None
    except KeyboardInterrupt:
        say("")
        raise
    if not sys.stdin.isatty():
        say(answer)
    return " ".join(answer.split()).lower()


def _done(p: Practice, answer: str) -> bool:
    """Do what was asked; False where a rule was chosen that may not be applied."""
    words = answer.split()
    letters = string.ascii_lowercase[: len(p.rules)]
    if not words or answer in ("help", "?"):
        say(HELP)
    elif answer == "show":
        _show(p)
    elif answer == "undo":
        say("" if p.undo() else "there is no step to take back")
        _show(p)
    elif answer == "hint":
        found = p.hint()
        if found is None:
            say("the engine knows of no next step from here: undo, and take another way")
        else:
            say(f"{letters[p.rules.index(found[0])]}, {found[0].name}: at {p.short(found[1])}")
    elif len(words) == 1 and len(answer) == 1 and answer in letters:
        r = p.rules[letters.index(answer)]
        say(_wrapped(f"{r.name}: {r.why}"))
    elif len(words) == 2 and words[0].isdecimal() and len(words[1]) == 1 and words[1] in letters:
        return _judged(p, int(words[0]), letters.index(words[1]))
    else:
        last = f"1 to {len(p.parts())} and a to {letters[-1]}"
        say(f"not understood: expected a part and a rule, such as `3 c` ({last}), or show, hint, undo, quit, help")
    return True


def _judged(p: Practice, part: int, rule: int) -> bool:
    parts = p.parts()
    if not 1 <= part <= len(parts):
        say(f"there is no part {part}: 1 to {len(parts)}")
        return True
    verdict = p.judge(parts[part - 1], p.rules[rule])
    say(_wrapped(verdict.said))
    if verdict.step is None:
        return False
    p.take(verdict)
    say(_wrapped(f"because {verdict.step.why}"))
    say(_wrapped(p.prices(verdict.step)) + "\n")
    if not p.done():
        _show(p, rules=False)
    return True


def _show(p: Practice, rules: bool = True) -> None:
    """The formulas, their parts by number, and the rules by letter."""
    for label, root in zip(p.d.labels, p.roots, strict=True):
        say(_wrapped(f"{label} = {p.text(root)}"))
    say("\npart")
    for k, t in enumerate(p.parts(), 1):
        say(f"{k:>4}  {p.short(t)}")
    if rules:
        say("rule")
        for letter, r in zip(string.ascii_lowercase, p.rules, strict=False):
            say(f"   {letter}  {r.name}")


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
