"""`minigrad exercise`: write a rule, have it checked, ask for a hint, see the solution beside it."""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any

from .options import PICTURES, add_command, add_shared, file_to_write
from .problems import Problem, say


def add_to(commands: Any) -> None:
    """Add the command, and its parts, to the command line."""
    parser = add_command(
        commands,
        "exercise",
        _list,
        "write the rule of sqrt, mean, matmul, softmax, batch norm, ... and have it checked",
        "minigrad exercise start sqrt",
        "Exercises: `list` names them, `start NAME` writes a file to fill in (never over another), `hint NAME LEVEL` "
        "helps, `check FILE` runs your rule beside the solution and the numerical derivatives, says which mistake "
        "gives your numbers, and draws your backward pass beside the solution's. --from FILE adds those of a teacher.",
    )
    parser.set_defaults(source=None)
    parts = parser.add_subparsers(title="what to do", metavar="list|start|hint|check", required=True)
    listed = add_command(parts, "list", _list, "the exercises, from easy to hard", "minigrad exercise list")
    start = add_command(parts, "start", _start, "write a file to fill in", "minigrad exercise start sqrt")
    start.add_argument("name", metavar="NAME", help="one that `list` names")
    start.add_argument("--out", metavar="FILE", help="where to (exercise_NAME.py)")
    hint = add_command(parts, "hint", _hint, "a question, the idea, the line", "minigrad exercise hint sqrt 1")
    hint.add_argument("name", metavar="NAME", help="one that `list` names")
    hint.add_argument(
        "level", metavar="LEVEL", type=int, choices=(1, 2, 3), help="1 a question, 2 the idea, 3 the line"
    )
    hint.add_argument("--step", metavar="STEP", help="of this gradient only, such as dx")
    short = "check a file that `start` wrote and you filled in"
    check = add_command(parts, "check", _check, short, "minigrad exercise check exercise_sqrt.py")
    check.add_argument(
        "file", metavar="FILE", nargs="?", help="your file; with --from alone, its exercises are checked"
    )
    check.add_argument("--order", type=int, choices=(1, 2), default=2, help="highest derivative asked for (2)")
    check.add_argument("--solution", action="store_true", help="print the solution, and draw it also if yours is wrong")
    check.add_argument("--draw", metavar="FILE", help=f"where the picture goes: .{' .'.join(PICTURES)}")
    add_shared(check, "--json")
    for part in (listed, start, hint, check):
        part.add_argument("--from", metavar="FILE", dest="source", help="a teacher's file with exercises of its own")


def _exercises(args: argparse.Namespace) -> dict[str, Any]:
    """Those of minigrad, and those of a teacher's file."""
    from ..exercises import EXERCISES, Failed, load

    try:
        return {**EXERCISES, **(load(Path(args.source)) if args.source is not None else {})}
    except Failed as failed:
        raise Problem(str(failed)) from failed


def _chosen(args: argparse.Namespace) -> Any:
    exercises = _exercises(args)
    if args.name not in exercises:
        raise Problem(f"there is no exercise {args.name!r}; there are {', '.join(exercises)}")
    return exercises[args.name]


def _list(args: argparse.Namespace) -> int:
    from ..exercises import listed

    say(listed(list(_exercises(args).values())))
    return 0


def _start(args: argparse.Namespace) -> int:
    from ..exercises import start

    exercise = _chosen(args)
    path = file_to_write("--out", f"exercise_{args.name}.py" if args.out is None else args.out, ("py",))
    more = f" --from {args.source}" if args.source is not None else ""
    try:
        start(exercise, path, more)
    except FileExistsError:
        raise Problem(f"{path} is there already and was left as it is; go on with it, or give --out FILE") from None
    say(f"wrote {path}; fill it in, then:\n  minigrad exercise check {path}{more}")
    return 0


def _hint(args: argparse.Namespace) -> int:
    exercise = _chosen(args)
    steps = [args.step] if args.step is not None else list(exercise.ladder)
    for step in steps:
        if step not in exercise.ladder:
            raise Problem(f"{args.name} has no hints for {step!r}; it has some for {', '.join(exercise.ladder)}")
    if not steps:
        raise Problem(f"{args.name} has no hints")
    width = max(map(len, steps))
    say("\n".join(f"{step.ljust(width)}  {exercise.ladder[step][args.level - 1]}" for step in steps))
    return 0


def _check(args: argparse.Namespace) -> int:
    from ..exercises import Failed, Unfit, defined_at, failure, functions_of, judge, read

    exercises = _exercises(args)
    if args.file is None:
        return _check_exercises(args)
    path = Path(args.file)
    picture = None if args.draw is None else file_to_write("--draw", args.draw, PICTURES)
    try:
        names = read(path)
        wanted = names.get("EXERCISE")
        if not isinstance(wanted, str) or wanted not in exercises:
            raise Problem(f'{path}: expected a line EXERCISE = "NAME" with one of {", ".join(exercises)}')
        exercise = exercises[wanted]
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
    else:
        if picture is not None:
            told.append("no picture yet: the solution is on it, so it is drawn when yours is right, or with --solution")
        step = judgement.hints[0][0] if judgement.hints else None
        if step in exercise.ladder:
            more = f" --from {args.source}" if args.source is not None else ""
            told.append(f"A hint: minigrad exercise hint {exercise.name} 1 --step {step}{more}   (then 2, then 3)")
    if args.json:
        say(json.dumps({**judgement.as_data(), **({"solution": source} if args.solution else {})}, indent=1))
    else:
        say("\n\n".join([str(judgement), *([f"The solution:\n\n{source}"] if args.solution else []), *told]))
    return 0 if judgement else 1


def _check_exercises(args: argparse.Namespace) -> int:
    """A teacher's file, without a learner's: are its exercises themselves right?"""
    from ..exercises import Failed, load, verify

    if args.source is None:
        raise Problem("check which file? give the one that `start` wrote, or a teacher's with --from FILE")
    path = Path(args.source)
    try:
        found = [verify(exercise, path) for exercise in load(path).values()]
    except Failed as failed:
        raise Problem(str(failed)) from failed
    if args.json:
        say(json.dumps([{"exercise": v.exercise.name, "problems": list(v.problems)} for v in found], indent=1))
    else:
        say("\n".join(map(str, found)))
    return 0 if all(found) else 1


def _draw(exercise: Any, functions: Any, target: Path, *, asked: bool) -> str:
    """Draw both, and say so; where no picture was asked for and it cannot be drawn, say why."""
    from ..exercises import beside

    try:
        return f"yours beside the solution: {beside(exercise, functions).save(target)}"
    except Exception as error:  # the learner's functions on Tensors may raise anything
        if asked or isinstance(error, OSError):
            raise Problem(f"cannot draw {target}: {error}") from error
        return f"no picture: {(str(error) or type(error).__name__).splitlines()[0]}"
