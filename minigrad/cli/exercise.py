"""`minigrad exercise`: write a rule, have it checked, see the solution beside it."""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any

from .options import PICTURES, add_command, add_shared, file_to_write
from .problems import Problem, say


def add_to(commands: Any) -> None:
    """Add the command, and its three parts, to the command line."""
    parser = add_command(
        commands,
        "exercise",
        _list,
        "write the rule of sqrt, var, softmax, batch norm, layer norm, and have it checked",
        "minigrad exercise start sqrt",
        "Exercises: `list` names them, `start NAME` writes a file to fill in (never over another), "
        "`check FILE` runs your rule beside the solution and the numerical derivatives, says which mistake gives your "
        "numbers, and draws your backward pass beside the solution's.",
    )
    parts = parser.add_subparsers(title="what to do", metavar="list|start|check", required=True)
    add_command(parts, "list", _list, "the exercises, from easy to hard", "minigrad exercise list")
    start = add_command(parts, "start", _start, "write a file to fill in", "minigrad exercise start sqrt")
    start.add_argument("name", metavar="NAME", help="one that `list` names")
    start.add_argument("--out", metavar="FILE", help="where to (exercise_NAME.py)")
    short = "check a file that `start` wrote and you filled in"
    check = add_command(parts, "check", _check, short, "minigrad exercise check exercise_sqrt.py")
    check.add_argument("file", metavar="FILE", help="your file")
    check.add_argument("--order", type=int, choices=(1, 2), default=2, help="highest derivative asked for (2)")
    check.add_argument("--solution", action="store_true", help="print the solution, and draw it also if yours is wrong")
    check.add_argument("--draw", metavar="FILE", help=f"where the picture goes: .{' .'.join(PICTURES)}")
    add_shared(check, "--json")


def _list(_: argparse.Namespace) -> int:
    from ..exercises import EXERCISES, listed

    say(listed(list(EXERCISES.values())))
    return 0


def _start(args: argparse.Namespace) -> int:
    from ..exercises import EXERCISES, start

    if args.name not in EXERCISES:
        raise Problem(f"there is no exercise {args.name!r}; there are {', '.join(EXERCISES)}")
    path = file_to_write("--out", f"exercise_{args.name}.py" if args.out is None else args.out, ("py",))
    try:
        start(EXERCISES[args.name], path)
    except FileExistsError:
        raise Problem(f"{path} is there already and was left as it is; go on with it, or give --out FILE") from None
    say(f"wrote {path}; fill it in, then:\n  minigrad exercise check {path}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from ..exercises import EXERCISES, Failed, Unfit, defined_at, failure, functions_of, judge, read

    path = Path(args.file)
    picture = None if args.draw is None else file_to_write("--draw", args.draw, PICTURES)
    try:
        names = read(path)
        wanted = names.get("EXERCISE")
        if not isinstance(wanted, str) or wanted not in EXERCISES:
            raise Problem(f'{path}: expected a line EXERCISE = "NAME" with one of {", ".join(EXERCISES)}')
        exercise = EXERCISES[wanted]
        functions = functions_of(exercise, names, path)
        try:
            judgement = judge(exercise, functions, order=args.order)
        except Unfit as unfit:
            last = list(functions.values())[-1]
            raise Failed(path, defined_at(last), str(unfit)) from None
        except (Exception, SystemExit) as error:
            raise failure(error, path) from error
    except Failed as failed:
        raise Problem(str(failed)) from failed
    source = "\n\n\n".join(inspect.getsource(function).rstrip() for function in exercise.solution.values())
    told = []
    if judgement or args.solution:
        if picture is not None or not args.json:
            target = picture or Path(f"{path.stem}-beside-the-solution.svg")
            told.append(_draw(exercise, functions, target, asked=picture is not None))
    elif picture is not None:
        told.append("no picture yet: the solution is on it, so it is drawn when yours is right, or with --solution")
    if args.json:
        say(json.dumps({**judgement.as_data(), **({"solution": source} if args.solution else {})}, indent=1))
    else:
        say("\n\n".join([str(judgement), *([f"The solution:\n\n{source}"] if args.solution else []), *told]))
    return 0 if judgement else 1


def _draw(exercise: Any, functions: Any, target: Path, *, asked: bool) -> str:
    """Draw both, and say so; where no picture was asked for and it cannot be drawn, say why."""
    from ..exercises import beside

    try:
        return f"yours beside the solution: {beside(exercise, functions).save(target)}"
    except Exception as error:  # the learner's functions on Tensors may raise anything
        if asked or isinstance(error, OSError):
            raise Problem(f"cannot draw {target}: {error}") from error
        return f"no picture: {(str(error) or type(error).__name__).splitlines()[0]}"
