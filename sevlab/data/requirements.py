"""What sevlab needs of other packages, and what is wrong with those that are installed."""

from __future__ import annotations

import re

from ..errors import InputError, quoted


def lacking(error: BaseException) -> InputError | None:
    """Return what to install when *error* comes of a module that is missing or too old; None for other errors."""
    import sys

    module = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if module == "sevlab":
        return None
    # An old version shows itself in any way: a name that is not there, an argument that it does not take.
    known = _requirements()
    for name in map(_distribution, (module, *sys.modules)):
        if name in known and (found := complaint(name)):
            return found
    if not isinstance(error, ModuleNotFoundError) or not module:
        return None
    is_own = module in sys.stdlib_module_names
    advice = "a Python that was built with it" if is_own else f"pip install {_distribution(module)}"
    return InputError("Python", f"no module {quoted(module)}", "it", advice)


def complaint(name: str) -> InputError | None:
    """Return what is wrong with the installed version of one of our requirements; None when it is right."""
    from importlib.metadata import PackageNotFoundError, version

    wanted = _requirements().get(name)
    if wanted is None:
        return None
    try:
        installed = version(name)
    except PackageNotFoundError:
        received = "nothing: it is not installed"
    else:
        limits = re.findall(r"(>=|<)\s*([0-9.]+)", wanted)
        if all((_numbers(installed) >= _numbers(limit)) == (sign == ">=") for sign, limit in limits):
            return None
        received = f"version {quoted(installed)}"
    return InputError(f"Python package {name}", received, f"{name}{wanted}", f"pip install '{name}{wanted}'")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]+", version)]


def _distribution(module: str) -> str:
    """Return the name under which a module is installed: ours differ in their hyphens alone."""
    return re.sub(r"[-_.]+", "-", module).lower()


def _requirements() -> dict[str, str]:
    """Return the range of versions of each project that sevlab or one of its extras needs, by the project's name."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        texts = requires("sevlab") or []
    except PackageNotFoundError:  # run from its repository
        import tomllib
        from pathlib import Path

        try:
            project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
        except OSError:
            return {}
        extras = project["optional-dependencies"].values()
        texts = [*project["dependencies"], *(text for extra in extras for text in extra)]
    found = re.findall(r"^(?!sevlab\b)([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;\n]*)", "\n".join(texts), re.MULTILINE)
    return {_distribution(name): limits.strip() for name, limits in found}
