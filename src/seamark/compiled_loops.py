"""Compilation of loops to machine code; importing this module imports numba.

Machine code is kept beside the module that the loop stands in, or in the user's cache folder where the package is
read-only.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop that releases the interpreter lock, and keep the machine code where a folder allows it."""
    compiler: Any = numba.njit
    try:
        loop: Callable[P, R] = compiler(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package folder nor the user's cache folder can be written
        loop = compiler(nogil=True)(function)
    return loop


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Paste a loop into its callers, without which the compiler does not see that its arrays do not overlap."""
    compiler: Any = numba.njit
    loop: Callable[P, R] = compiler(inline="always")(function)
    return loop
