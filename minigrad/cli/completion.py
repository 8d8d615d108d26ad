"""`minigrad completion`: what a shell needs to complete commands, options and their choices, made from the parser."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

SHELLS = ("bash", "zsh", "fish")
EVAL = {"bash": 'eval "$(minigrad completion bash)"', "zsh": 'eval "$(minigrad completion zsh)"'}
HINTS = {**EVAL, "fish": "minigrad completion fish | source"}


class Command(NamedTuple):
    """What can follow one command."""

    help: str
    words: list[str]  # choices of its positional arguments
    options: dict[str, list[str]]  # each option, and the choices of its value
    meanings: dict[str, str]  # each option's help


def add_to(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "completion",
        help="completion of commands and options in bash, zsh or fish",
        description="Print a script that teaches a shell to complete minigrad's commands, options and choices. "
        f"For this session, bash and zsh: {EVAL['bash']} (or zsh); fish: {HINTS['fish']}. To keep it, put that line "
        "into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish.",
        epilog="example: minigrad completion bash",
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the script; always 0."""
    from . import parser  # the whole, which has this subcommand in it

    print(WRITERS[args.shell](described(parser())))
    return 0


def described(whole: argparse.ArgumentParser) -> dict[str, Command]:
    """Every subcommand of a parser with what can follow it."""
    parts = next(action for action in whole._actions if isinstance(action, argparse._SubParsersAction))
    helps = {action.dest: action.help or "" for action in parts._choices_actions}
    return {name: _command(helps.get(name, ""), parser) for name, parser in parts.choices.items()}


def _command(about: str, parser: argparse.ArgumentParser) -> Command:
    words: list[str] = []
    options: dict[str, list[str]] = {}
    meanings: dict[str, str] = {}
    for action in parser._actions:
        choices = [str(choice) for choice in action.choices or ()]
        if not action.option_strings:
            words += choices
        for option in action.option_strings:
            if option.startswith("--"):
                options[option], meanings[option] = choices, (action.help or "").replace("%%", "%")
        if isinstance(action, argparse._SubParsersAction):  # commands of a command: their options belong to it as well
            for inner in action.choices.values():
                below = _command("", inner)
                options, meanings = {**below.options, **options}, {**below.meanings, **meanings}
    return Command(about, words, options, meanings)


def _bash(commands: dict[str, Command]) -> str:
    lines = [
        "_minigrad() {",
        '  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""',
        f'  if [ "$COMP_CWORD" -le 1 ]; then words="--help --version {" ".join(commands)}"; else',
        '  case "${COMP_WORDS[1]} $before" in',
    ]
    for name, command in commands.items():
        lines += [
            f'    "{name} {option}") words="{" ".join(choices)}" ;;'
            for option, choices in command.options.items()
            if choices
        ]
    for name, command in commands.items():
        lines.append(f'    "{name} "*) words="{" ".join([*command.words, *command.options])}" ;;')
    return "\n".join(
        [*lines, "  esac; fi", '  COMPREPLY=($(compgen -W "$words" -- "$current"))', "}",
         "complete -o default -F _minigrad minigrad"]
    )  # fmt: skip


def _zsh(commands: dict[str, Command]) -> str:
    return "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n" + _bash(commands)


def _fish(commands: dict[str, Command]) -> str:
    lines = [
        "complete -c minigrad -n __fish_use_subcommand -l help",
        "complete -c minigrad -n __fish_use_subcommand -l version",
    ]
    for name, command in commands.items():
        within = f"complete -c minigrad -n {shlex.quote(f'__fish_seen_subcommand_from {name}')}"
        lines.append(f"complete -c minigrad -n __fish_use_subcommand -a {name} -d {shlex.quote(command.help)}")
        if command.words:
            lines.append(f"{within} -a {shlex.quote(' '.join(command.words))}")
        for option, choices in command.options.items():
            values = f" -xa {shlex.quote(' '.join(choices))}" if choices else ""
            lines.append(f"{within} -l {option[2:]}{values} -d {shlex.quote(command.meanings[option])}")
    return "\n".join(lines)


WRITERS: dict[str, Callable[[dict[str, Command]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
