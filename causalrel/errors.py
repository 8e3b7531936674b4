"""Every refusal causalrel can give, as one sentence: what was asked, what was found, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pydantic import ValidationError

Reason = Literal["data", "spec", "question", "refused", "resource"]


class CausalrelError(Exception):
    """The one error a user sees; its text is one sentence and the command line exits with 2.

    Parameters
    ----------
    message : str
        What was asked, what was found and what to do.
    reason : {"data", "spec", "question", "refused", "resource"}
        Which side must change: the data, a YAML document, the question, nothing (refused), or the machine.
    """

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason

    def __reduce__(self) -> tuple[type[CausalrelError], tuple[str, Reason]]:
        return CausalrelError, (self.message, self.reason)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, a short list of what exists, or nothing.

    Parameters
    ----------
    name : str
        What was written.
    known : iterable of str
        What exists.

    Returns
    -------
    str
        A clause to append to a sentence.

    Examples
    --------
    >>> did_you_mean("ttft", ["ttft_s", "e2e_s"])
    "; did you mean 'ttft_s'?"
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; known: {shown}"


def file_not_found(path: object) -> CausalrelError:
    return CausalrelError(f"cannot read '{path}': no such file or directory; check the path", "data")


def unknown_data(name: str, shipped: Sequence[str]) -> CausalrelError:
    return CausalrelError(
        f"cannot read '{name}': it is neither a path nor a shipped data set{did_you_mean(name, shipped)}", "data"
    )


def unreadable(path: object, what: str, todo: str) -> CausalrelError:
    return CausalrelError(f"cannot read '{path}': {what}; {todo}", "data")


def empty_data(what: str) -> CausalrelError:
    return CausalrelError(f"'{what}' holds no rows; export at least one event and try again", "data")


def bad_data(what: str, todo: str) -> CausalrelError:
    return CausalrelError(f"{what}; {todo}", "data")


def conflicting_samples(metric: str, when: str, source: object) -> CausalrelError:
    return CausalrelError(
        f"'{metric[:80]}' of '{source}' tells two values at {when}; export a label that tells the two series apart",
        "data",
    )


def unknown_column(name: str, asked_by: str, known: Iterable[str]) -> CausalrelError:
    return CausalrelError(f"{asked_by} needs column '{name}', which the data lack{did_you_mean(name, known)}", "data")


def bad_expression(text: str, what: str) -> CausalrelError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return CausalrelError(
        f"cannot use the expression '{shown}': {what}; "
        "columns, literals, comparisons, AND/OR/NOT, IN, BETWEEN, IS NULL and arithmetic are allowed",
        "spec",
    )


def bad_spec(path: object, faults: Sequence[str]) -> CausalrelError:
    return CausalrelError(f"'{path}' is not usable: {'; '.join(faults)}", "spec")


def unknown_variable(name: str, asked_by: str, known: Iterable[str]) -> CausalrelError:
    return CausalrelError(f"{asked_by}: there is no variable '{name}'{did_you_mean(name, known)}", "question")


def unknown_name(name: str, what: str, known: Iterable[str]) -> CausalrelError:
    return CausalrelError(f"there is no {what} '{name}'{did_you_mean(name, known)}", "question")


def bad_question(what: str, todo: str) -> CausalrelError:
    return CausalrelError(f"{what}; {todo}", "question")


def refused(what: str, why: str) -> CausalrelError:
    return CausalrelError(f"{what} is refused: {why}", "refused")


def out_of_memory() -> CausalrelError:
    return CausalrelError(
        "the question needs more memory than this process may take; write wider windows, ask of a shorter span, "
        "or raise the limit",
        "resource",
    )


def refused_by_system(fault: OSError) -> CausalrelError:
    about = f" for '{fault.filename}'" if fault.filename else ""
    said = fault.strerror or type(fault).__name__
    return CausalrelError(f"the system answered '{said}'{about}; make room or check the rights", "resource")


def over_limit(what: str, todo: str) -> CausalrelError:
    return CausalrelError(f"{what}; {todo}", "resource")


def bad_cluster(address: str, what: str, todo: str) -> CausalrelError:
    return CausalrelError(f"cannot use the cluster at '{address}': {what}; {todo}", "resource")


def validation_faults(fault: ValidationError) -> list[str]:
    """List what a schema found wrong, each with the path to it.

    Parameters
    ----------
    fault : pydantic.ValidationError
        What pydantic raised.

    Returns
    -------
    list of str
        One clause a fault, such as ``edges[0].cause: Field required``.
    """
    said = []
    for row in fault.errors(include_url=False, include_input=False, include_context=False):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in row["loc"]).lstrip(".")
        what = "this key is not known" if row["type"] == "extra_forbidden" else row["msg"]
        said.append(f"{path or 'document'}: {what}")
    return said
