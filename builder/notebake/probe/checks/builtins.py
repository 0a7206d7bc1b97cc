"""Check that the kernel does not replace Python's builtins, and that the profile's names need no import.

`pylab` imports all of NumPy, whose `max`, `any` and `sum` return other results than Python's.
"""

from __future__ import annotations

from notebake.errors import CheckFailed
from notebake.probe.checks._ask import ask
from notebake.probe.context import Context

_NAMES = ("plot", "randn", "array", "linspace", "sin")
# IPython replaces exit, get_ipython, open and quit on purpose.
_SHADOWED = (
    "(lambda own, seen: sorted(name for name in dir(own) if name[0] != '_' and name in seen"
    " and name not in ('exit', 'get_ipython', 'open', 'quit') and seen[name] is not getattr(own, name)))"
    "(__import__('builtins'), globals())"
)
# Wrong results that users have seen: the rule above could miss a builtin that is replaced in place.
_RESULTS = {
    "max(1, 2)": 2,
    "any(x > 10 for x in [1, 2, 3])": False,
    "all(x > 1 for x in [1, 2, 3])": False,
    "isinstance(True, bool)": True,
    "sum([1, 2])": 3,
}


def run(context: Context) -> str:
    """Return what was checked. Raises CheckFailed with every replaced name or wrong result."""
    faults = [f"{name} is not Python's own" for name in ask(context, _SHADOWED)]
    names = () if context.subject.pylab == "none" else _NAMES
    if not faults:
        # The results as text: a NumPy number cannot be encoded as JSON.
        texts = ", ".join(f"repr({expression})" for expression in _RESULTS)
        results, missing = ask(context, f"[[{texts}], [name for name in {names!r} if name not in globals()]]")
        faults = [
            f"{expression} is {result}"
            for (expression, expected), result in zip(_RESULTS.items(), results, strict=True)
            if result != repr(expected)
        ]
        faults += [f"{name} is not defined" for name in missing]
    if faults:
        raise CheckFailed("; ".join(faults), "check that the kernel's profile does not replace builtins")
    return "Python's own" + (f"; {', '.join(names)} need no import" if names else "")
