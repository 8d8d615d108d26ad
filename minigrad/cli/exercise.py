"""`minigrad exercise`: write a rule, have it checked, see the solution beside it."""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any

from .problems import Problem

ENDINGS = (".svg", ".png", ".pdf", ".html", ".dot", ".json", ".md")


def add_to(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "exercise",
        help="write the rule of sqrt, var, softmax, batch norm, layer norm, and have it checked",
        description="Exercises: `list` names them, `start NAME` writes a file to fill in (never over another), "
        "`check FILE` runs your rule beside the solution and the numerical derivatives, says which mistake gives your "
        "numbers, and draws your backward pass beside the solution's.",
        epilog="example: minigrad exercise start sqrt && minigrad exercise check exercise_sqrt.py",
    )
    parts = parser.add_subparsers(title="what to do", metavar="list|start|check", required=True)
    parts.add_parser("list", help="the exercises, from easy to hard").set_defaults(run=_list)
    begin = parts.add_parser("start", help="write a file to fill in")
    begin.add_argument("name", metavar="NAME", help="one that `list` names")
    begin.add_argument("--out", metavar="FILE", help="where to (exercise_NAME.py)")
    begin.set_defaults(run=_start)
    check = parts.add_parser("check", help="check a file that `start` wrote and you filled in")
    check.add_argument("file", metavar="FILE", help="your file")
    check.add_argument("--order", type=int, choices=(1, 2), default=2, help="highest derivative asked for (2)")
    check.add_argument("--solution", action="store_true", help="print the solution, and draw it also if yours is wrong")
    check.add_argument("--json", action="store_true", help="print what was found as JSON; no picture without --draw")
    check.add_argument("--draw", metavar="FILE", help=f"where the picture goes: {' '.join(ENDINGS)}")
    check.set_defaults(run=_check)


def run(args: argparse.Namespace) -> int:
    """What `args` asks for; 0 if all is well, 1 if the learner's rule is wrong."""
    return int(args.run(args))


def _list(_: argparse.Namespace) -> int:
    from ..exercises import EXERCISES, listed

    print(listed(list(EXERCISES.values())))
    return 0


def _start(args: argparse.Namespace) -> int:
    from ..exercises import EXERCISES, start

    if args.name not in EXERCISES:
        raise Problem(f"there is no exercise {args.name!r}; there are {', '.join(EXERCISES)}")
    path = Path(args.out or f"exercise_{args.name}.py")
    if path.suffix != ".py":
        raise Problem(f"--out {path}: expected a name that ends in .py")
    try:
        start(EXERCISES[args.name], path)
    except FileExistsError:
        raise Problem(f"{path} is there already and was left as it is; go on with it, or give --out FILE") from None
    except OSError as error:
        raise Problem(f"{path}: cannot be written ({error.strerror or error})") from error
    print(f"wrote {path}; fill it in, then: minigrad exercise check {path}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from ..exercises import EXERCISES, Failed, Unfit, defined_at, failure, functions_of, judge, read

    path = Path(args.file)
    picture = _picture(args)
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
        print(json.dumps({**judgement.as_data(), **({"solution": source} if args.solution else {})}, indent=1))
        return 0 if judgement else 1
    print("\n\n".join([str(judgement), *([f"The solution:\n\n{source}"] if args.solution else []), *told]))
    return 0 if judgement else 1


def _picture(args: argparse.Namespace) -> Path | None:
    """Where the picture goes, checked before anything runs."""
    if not args.draw:
        return None
    path = Path(args.draw)
    if path.suffix.lower() not in ENDINGS:
        raise Problem(f"--draw {path}: the ending must be one of {', '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise Problem(f"--draw {path}: there is no folder {path.parent}")
    return path


def _draw(exercise: Any, functions: Any, target: Path, *, asked: bool) -> str:
    """Draw both, and say so; where no picture was asked for and it cannot be drawn, say why."""
    from ..drawing import RendererNotFound
    from ..exercises import beside

    try:
        return f"yours beside the solution: {beside(exercise, functions).save(target)}"
    except RendererNotFound as error:
        if asked:
            raise Problem(f"cannot draw {target}: {error}") from error
        return f"no picture, for there is no renderer: {str(error).splitlines()[0]}"
    except OSError as error:
        raise Problem(f"{target}: cannot be written ({error.strerror or error})") from error
    except Exception as error:  # the learner's functions on Tensors may raise anything
        if asked:
            raise Problem(f"cannot draw {target}: {error}") from error
        return f"no picture: {' '.join(str(error).split())}"
