"""The command ``foveate``: find the verb, run it, and turn what goes wrong into a text and an exit code.

Nothing heavy is imported here, nor at the top of a command's file: ``foveate --help`` answers at once.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from foveate.cli import invocation
from foveate.cli.encoding import be_tolerant
from foveate.errors import FoveateError, shown
from foveate.version import __version__

HELP = """Insert visual attention into your model, compare variants, look at the result.

A model with attention inserted starts out equal to the plain one, to the bit.
A comparison ends in a verdict: helps, hurts, no difference worth having, or
not yet known."""

EPILOGUE = """Start here
    foveate demo            a whole study on built-in pictures, in minutes
    foveate check PICTURES  look for faults in your own
    foveate compare PICTURES --model resnet18 --try se@blocks --try cbam@stage4

Exit codes
    0    done
    1    `check` found errors in the data
    2    unusable input; the message says why and what to do
    70   a defect in foveate itself
    130  stopped with Ctrl-C; the same command resumes where it stopped

With any command, --traceback shows where an error comes from, and --plugin
package.module imports a package of yours first, whose tasks, models,
mechanisms, losses and metrics then have names here."""

DONE, UNUSABLE, DEFECT, INTERRUPTED = 0, 2, 70, 130
RESUMABLE = ("compare", "train", "demo")

SPOKEN = {  # how Python says it, and how the command line does
    "weights=PATH": "--weights PATH",
    "weights=...": "--weights FILE",
    "pretrained=True": "--pretrained",
    "pretrained=False": "no --pretrained",
    'control="none"': "--control none",
    "ignore_index=": "--ignore-index ",
    "variants:": "--try:",
    "branch_epochs:": "--branch-epochs:",
}

COMMANDS = (  # one file each, in this order; the functions have the same names, but for ``list_``
    "demo",
    "compare",
    "report",
    "predict",
    "look",
    "judge",
    "serve",
    "crf",
    "train",
    "check",
    "list",
    "show",
    "sites",
    "cost",
)

STANDARD_INPUT = "/dev/stdin"  # for "-", which would be read as an option


def application() -> App:
    """Return the whole command line, with every command in it."""
    app = App(
        name="foveate",
        help=HELP,
        help_format="plaintext",
        help_epilogue=EPILOGUE,
        version=__version__,
        default_parameter=Parameter(negative=(), show_default=_worth_showing),
        suppress_keyboard_interrupt=False,
    )
    for order, name in enumerate(COMMANDS):
        function, example = command(name)
        app.command(function, name=name, help_epilogue=f"Example\n{example}", sort_key=order)
    return app


def command(name: str) -> tuple[Callable[..., int | None], str]:
    """Return the function of a command, and the example that its help ends with."""
    module = importlib.import_module(f"foveate.cli.{name}")
    return getattr(module, "list_" if name == "list" else name), module.EXAMPLE


def _worth_showing(default: object) -> str | None:
    """Return a default for the help; a switch that is off, or nothing, says nothing."""
    return str(default) if default else None


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after ``foveate``; None takes those of the process.

    Returns:
        The exit code; see ``foveate --help``.
    """
    words = sys.argv[1:] if arguments is None else arguments
    be_tolerant()
    if "--traceback" in words:
        return _run([word for word in words if word != "--traceback"])
    try:
        return _run(words)
    except KeyboardInterrupt:
        return _interrupted(words)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (FoveateError, CycloptsError, OSError) as error:
        return _say(_spoken(str(error)), UNUSABLE)
    except Exception as error:
        return _say(
            f"foveate failed: {type(error).__name__}: {error}\n"
            f"This looks like a defect. To see where it comes from: {_command(words)} --traceback",
            DEFECT,
        )


def _run(words: list[str]) -> int:
    invocation.remember(words)
    words = _without_plugins(words)
    if words[:1] == ["predict"]:  # no other command reads it
        words = [STANDARD_INPUT if word == "-" else word for word in words]
    options: dict[str, Any] = {"exit_on_error": False, "print_error": False, "result_action": "return_value"}
    return application()(words, **options) or DONE


def _without_plugins(words: list[str]) -> list[str]:
    """Import what ``--plugin`` names, and return the other words."""
    left, plugins, rest = [], [], iter(words)
    for word in rest:
        if word == "--plugin":
            plugins.append(next(rest, ""))
        elif word.startswith("--plugin="):
            plugins.append(word.partition("=")[2])
        else:
            left.append(word)
    if plugins:
        from foveate.plugins import load_plugins

        load_plugins(plugins)
    return left


def _interrupted(words: list[str]) -> int:
    again = bool(words) and words[0] in RESUMABLE
    hint = f"Nothing finished is lost. To resume: {_command(words)}" if again else "Stopped."
    return _say(f"\n{hint}", INTERRUPTED)


def _spoken(text: str) -> str:
    """Say options as the command line writes them."""
    for python, here in SPOKEN.items():
        text = text.replace(python, here)
    return text


def _command(words: list[str]) -> str:
    return shlex.join(["foveate", *words])


def _say(text: str, code: int) -> int:
    print(shown(text), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
