"""Packages of the distribution behind one word of the spec."""

from __future__ import annotations

from notebake.errors import SpecError
from notebake.plan.plan import Plan

# nbconvert's LaTeX template needs those of TeX.
_EXPORT = {
    "pdf": (
        *("pandoc", "texlive-xetex", "texlive-latex-recommended", "texlive-latex-extra"),
        *("texlive-fonts-recommended", "texlive-plain-generic", "lmodern"),
    )
}
_FONTS = {"cjk": ("fonts-noto-cjk",)}
# The first font of its file, which has the characters of all three languages.
_FAMILIES = {"cjk": "Noto Sans CJK JP"}


def os_packages(plan: Plan) -> list[str]:
    """Return the names of all packages that a Linux machine installs for its spec, each once.

    Raises SpecError for a word whose packages are not known for the family.
    """
    family, spec = plan.target.family, plan.spec
    if family != "apt" and (spec.notebook.export or spec.image.fonts):
        raise SpecError(
            f"notebook.export and image.fonts: not supported on {plan.target.name}",
            "name its packages in [image] os_packages: pandoc, TeX Live with XeTeX, fonts",
        )
    names = [name for word in spec.notebook.export for name in _EXPORT[word]]
    names += [name for word in spec.image.fonts for name in _FONTS[word]]
    return list(dict.fromkeys([*spec.image.packages_for(family), *names]))


def matplotlibrc(plan: Plan) -> dict[str, str]:
    """Return matplotlib's settings, if there are any: which fonts it takes for what its own does not have."""
    fonts = [_FAMILIES[word] for word in dict.fromkeys(plan.spec.image.fonts)]
    if not fonts:
        return {}
    return {
        "root/opt/notebake/matplotlib/matplotlibrc": f"font.family: {', '.join(['sans-serif', *fonts])}\n"
    }
