"""What sevlab needs of other projects, and what to install where that is missing or too old.

The ranges of versions are those of pyproject.toml: an installed sevlab has them in its metadata.
"""

from __future__ import annotations

import re
import sys

from ..errors import InputError, quoted

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)")


def lacking(error: BaseException) -> InputError | None:
    """Return what to install, where an error comes of a module that is missing or too old; None for other errors."""
    if isinstance(error, ImportError) and error.name:
        module = error.name.partition(".")[0]
        if module == "sevlab":
            return None
        if found := _complaint(_distribution(module)):
            return found
        if isinstance(error, ModuleNotFoundError):
            is_own = module in sys.stdlib_module_names
            advice = "a Python that was built with it" if is_own else f"pip install {_distribution(module)}"
            return InputError("Python", f"no module {quoted(module)}", "it", advice)
    # An old version shows itself in any way: a name that is not there, an argument that it does not take.
    loaded = {_distribution(module) for module in list(sys.modules) if "." not in module}
    return next((found for name in loaded if (found := _complaint(name))), None)


def require(name: str) -> None:
    """Raise :class:`~sevlab.errors.InputError` where another project's *name* is missing or too old."""
    if found := _complaint(name):
        raise found


def _distribution(module: str) -> str:
    """Return the name under which a module is installed. So far all of ours differ in nothing but their hyphens."""
    return re.sub(r"[-_.]+", "-", module).lower()


def _complaint(name: str) -> InputError | None:
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
        numbers = _numbers(installed)
        limits = re.findall(r"(>=|<)\s*([0-9.]+)", wanted)
        if all((numbers >= _numbers(limit)) == (sign == ">=") for sign, limit in limits):
            return None
        received = f"version {quoted(installed)}"
    return InputError(f"Python package {name}", received, f"{name}{wanted}", f"pip install '{name}{wanted}'")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]+", version)]


def _requirements() -> dict[str, str]:
    """Return the range of versions of each project that sevlab or one of its extras needs, by the project's name."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        texts = requires("sevlab") or []
    except PackageNotFoundError:  # not installed: run from its repository
        import tomllib
        from pathlib import Path

        try:
            project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
        except OSError:
            return {}
        texts = [
            *project["dependencies"],
            *(text for extra in project["optional-dependencies"].values() for text in extra),
        ]
    found = [match for text in texts if (match := _REQUIREMENT.match(text))]
    return {_distribution(match[1]): match[2].strip() for match in found if match[1] != "sevlab"}
