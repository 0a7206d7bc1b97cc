"""Python's builtins are Python's own in the kernel, and the profile's names need no import.

`pylab` imports all of NumPy, whose `max`, `any` or `sum` give other answers than Python's.
"""

from __future__ import annotations

from notebake.errors import CheckFailed
from notebake.probe.checks._ask import ask
from notebake.probe.context import Context

_NAMES = ("plot", "randn", "array", "linspace", "sin")
# exit, get_ipython, open and quit are IPython's own: no fault.
_SHADOWED = (
    "(lambda own, seen: sorted(name for name in dir(own) if name[0] != '_' and name in seen"
    " and name not in ('exit', 'get_ipython', 'open', 'quit') and seen[name] is not getattr(own, name)))"
    "(__import__('builtins'), globals())"
)
# What people met, whatever the reason: the rule above could miss a builtin that is replaced in place.
_ANSWERS = {
    "max(1, 2)": 2,
    "any(x > 10 for x in [1, 2, 3])": False,
    "all(x > 1 for x in [1, 2, 3])": False,
    "isinstance(True, bool)": True,
    "sum([1, 2])": 3,
}


def run(context: Context) -> str:
    """Return what was checked. Raises CheckFailed with each wrong name or answer."""
    faults = [f"{name} is not Python's own" for name in ask(context, _SHADOWED)]
    names = () if context.subject.pylab == "none" else _NAMES
    if not faults:
        # The answers as text: a NumPy number is no JSON.
        given = ", ".join(f"repr({expression})" for expression in _ANSWERS)
        answers, missing = ask(context, f"[[{given}], [name for name in {names!r} if name not in globals()]]")
        faults = [
            f"{expression} is {answer}"
            for (expression, right), answer in zip(_ANSWERS.items(), answers, strict=True)
            if answer != repr(right)
        ]
        faults += [f"{name} is not defined" for name in missing]
    if faults:
        raise CheckFailed("; ".join(faults), "does the kernel's profile keep Python's builtins?")
    return "Python's own" + (f"; {', '.join(names)} need no import" if names else "")
