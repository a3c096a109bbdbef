"""``medchain completion``: what shells need to complete commands, options and file names."""

from __future__ import annotations

import argparse
from typing import Any

from medchain.cli.parsing import EPILOG, Formatter

__all__ = ["add_command"]

BASH = """\
# bash completion for medchain; source it, or put it into /etc/bash_completion.d
_medchain() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words='' files=yes found
    if [ "$COMP_CWORD" = 1 ]; then
        words='%(commands)s --help --version' files=
    else
        case $command in
%(cases)s
        esac
    fi
    [ "${word:0:1}" != - ] || files=
    COMPREPLY=()
    while IFS= read -r found; do  # line by line: names of files have blanks and stars
        COMPREPLY+=("$found")
    done < <(compgen -W "$words" -- "$word"; [ -z "$files" ] || compgen -f -- "$word")
}
complete -o filenames -F _medchain medchain
"""

ZSH = """\
#compdef medchain
# zsh completion for medchain; put it as _medchain into a folder of $fpath, or source it
_medchain() {
    local -a commands
    commands=(
%(commands)s
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    case $words[2] in
%(cases)s
    esac
}
if [ "$funcstack[1]" = _medchain ]; then  # autoloaded: this file is the function, called for the first time
    _medchain "$@"
else
    compdef _medchain medchain
fi
"""

FISH = """\
# fish completion for medchain; put it into ~/.config/fish/completions
%(lines)s
"""


def add_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
    completion = commands.add_parser(
        "completion",
        help="print a completion script for a shell",
        description="Print a script that completes the commands and options of medchain, and file names.",
        epilog=f"{EPILOG}\nexamples: medchain completion bash > /etc/bash_completion.d/medchain\n"
        "          medchain completion fish > ~/.config/fish/completions/medchain.fish",
        formatter_class=Formatter,
    )
    completion.add_argument("shell", choices=["bash", "zsh", "fish"], help="which shell")
    completion.set_defaults(run=lambda options: _print(options.shell, commands))


def _print(shell: str, commands: Any) -> int:
    helps = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    options = {name: _options(parser) for name, parser in commands.choices.items()}
    words = {name: _words(parser) for name, parser in commands.choices.items()}
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](helps, options, words), end="")
    return 0


def _words(parser: argparse.ArgumentParser) -> str:
    """What a command takes in place of file names, if it takes no others."""
    return " ".join(
        str(each) for action in parser._actions if not action.option_strings for each in action.choices or ()
    )


def _options(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Long options of a command, with their help."""
    return {
        option: (action.help or "").partition(";")[0]
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }


def _bash(helps: dict[str, str], options: dict[str, dict[str, str]], words: dict[str, str]) -> str:
    cases = "\n".join(
        f"        {name}) words='{words[name]} {' '.join(options[name])}' files= ;;"
        if words[name]
        else f"        {name}) words='{' '.join(options[name])}' ;;"
        for name in helps
    )
    return BASH % {"commands": " ".join(helps), "cases": cases}


def _zsh(helps: dict[str, str], options: dict[str, dict[str, str]], words: dict[str, str]) -> str:
    listed = "\n".join(f"        {_quoted(f'{name}:{told}')}" for name, told in helps.items())
    cases = "\n".join(
        " ".join(
            [
                f"    {name}) _arguments",
                *(_quoted(f"{each}[{_plain(told)}]") for each, told in options[name].items()),
                f"'*:word:({words[name]})' ;;" if words[name] else "'*:file:_files' ;;",
            ]
        )
        for name in helps
    )
    return ZSH % {"commands": listed, "cases": cases}


def _fish(helps: dict[str, str], options: dict[str, dict[str, str]], words: dict[str, str]) -> str:
    lines = [
        f"complete -c medchain -n __fish_use_subcommand -f -a {name} -d {_quoted(told)}"
        for name, told in helps.items()
    ]
    lines += [
        f"complete -c medchain -n '__fish_seen_subcommand_from {name}' -l {each[2:]} -d {_quoted(told)}"
        for name in helps
        for each, told in options[name].items()
    ]
    lines += [
        f"complete -c medchain -n '__fish_seen_subcommand_from {name}' -f -a {_quoted(words[name])}"
        for name in helps
        if words[name]
    ]
    return FISH % {"lines": "\n".join(lines)}


def _plain(text: str) -> str:
    """Without what zsh reads as the end of a description."""
    return text.replace("[", "(").replace("]", ")").replace(":", " -")


def _quoted(text: str) -> str:
    """In single quotes for a shell."""
    return "'" + text.replace("'", "'\\''") + "'"
