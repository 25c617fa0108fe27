"""Turns what pydantic finds wrong with a specification into one sentence for its author."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError

NAME_PATTERN: Final = r"^[A-Za-z0-9][\w.+-]*$"
SUM_PATTERN: Final = r"^[A-Za-z0-9][\w.+@-]*$"
# a name that may also spell out charges: e=1,mu=-2,tau=1/3
MODEL_PATTERN: Final = r"^[A-Za-z0-9][\w.+=,/-]*$"
TABLE_PATTERN: Final = r"^[\w.-]+\.csv$"

_OF_PATTERN: Final = {
    NAME_PATTERN: "a name of letters, digits and _ . + - is needed",
    MODEL_PATTERN: "a name of letters, digits and _ . + - = , / is needed",
    SUM_PATTERN: "a name, or a sum as a+b@1 of names with thresholds, is needed",
    TABLE_PATTERN: "a file name that ends in .csv, without folders, is needed",
}
# what is allowed, by the kind of complaint; the braces are filled from its context
_ALLOWED: Final = {
    "float_type": "a number is needed",
    "float_parsing": "a number is needed",
    "int_type": "a whole number is needed",
    "int_parsing": "a whole number is needed",
    "int_parsing_size": "a whole number of fewer digits is needed",
    "int_from_float": "a whole number is needed",
    "finite_number": "a finite number is needed",
    "greater_than": "a number above {gt} is needed",
    "greater_than_equal": "a number of at least {ge} is needed",
    "less_than": "a number below {lt} is needed",
    "less_than_equal": "a number of at most {le} is needed",
    "literal_error": "allowed: {expected}",
    "bool_type": "true or false is needed",
    "bool_parsing": "true or false is needed",
    "string_type": "text in quotes is needed",
    "string_too_short": "at least {min_length} character is needed",
    "string_too_long": "at most {max_length} characters are allowed",
    "too_short": "at least {min_length} entry is needed",
    "too_long": "at most {max_length} entries are allowed",
}
_LONGEST: Final = 80  # characters of what was given that are repeated


def sentence(error: ValidationError, kind: type[BaseModel], where: str) -> str:
    """Return the first complaint of a validation as one sentence.

    Parameters
    ----------
    error
        What pydantic raised for a content of the given kind.
    where
        Names the file or the argument; it opens the sentence.
    """
    problems = error.errors()
    # a misspelt key leaves two complaints: the one that names what was written says more
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    # unions report every branch: keep the words that a user wrote, not pydantic's branch labels
    path = [str(part) for part in first["loc"] if not _is_branch(str(part))]
    others = {p["loc"][:1] for p in problems} - {first["loc"][:1]}
    if first["type"] == "extra_forbidden":
        others -= {(path[-1],)}  # a key in the wrong place is missing in the right one
    text = f"{where}: {'.'.join(path)}: " if path else f"{where}: "
    tail = f" (and {len(others)} more below)" if others else ""
    return text + _complaint(dict(first), path, kind) + tail


def _is_branch(part: str) -> bool:
    return part in ("float", "str") or part.startswith(("literal[", "function-", "constrained-"))


def _complaint(problem: Mapping[str, Any], path: list[str], kind: type[BaseModel]) -> str:
    """Say what was given, what is allowed and what to do."""
    reason = problem["type"]
    if reason == "extra_forbidden":
        return _misplaced(path, kind, problem["input"]) or _unknown_key(path, kind)
    if reason == "missing":
        return "this key is missing; add it"
    if reason == "value_error":
        return str(problem["ctx"]["error"])
    form = ""
    if reason == "tuple_type":
        form = "a list in brackets"
    elif reason in ("model_type", "dict_type"):
        form = f"a table with {', '.join(_keys_at(kind, path))}"
    given = shown(problem["input"])
    if form:
        return f"given {given}; {form} is needed; write it so"
    return f"given {given}; {_allowed(problem, path)}; correct it"


def _allowed(problem: Mapping[str, Any], path: list[str]) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "string_pattern_mismatch":
        other = f"text of the form {context['pattern']} is needed"
        return _OF_PATTERN.get(context["pattern"], other)
    if problem["type"] not in _ALLOWED:
        message = str(problem["msg"])
        return message[0].lower() + message[1:]
    numbers = {k: f"{v:.15g}" if isinstance(v, float) else v for k, v in context.items()}
    words = _ALLOWED[problem["type"]].format(**numbers)
    return words + (", or the number eps/g" if path[-1:] == ["mixing"] else "")


def shown(value: Any) -> str:
    """Return what was given, as it is written in TOML, and not too long."""
    try:
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, bool) else repr(value)
    except (TypeError, ValueError):  # an integer of too many digits has no text
        text = type(value).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _misplaced(path: list[str], kind: type[BaseModel], given: Any) -> str:
    """Say that a key of the top stands inside a table, if so: TOML has no end of a table."""
    if len(path) < 2 or path[-1] not in _keys_at(kind, []):
        return ""
    inside, key = path[:-1], path[-1]
    table = f"[[{inside[0]}]]" if inside[-1].isdecimal() else f"[{'.'.join(inside)}]"
    way = f"give it a table of its own, [{key}]"
    if not isinstance(given, Mapping):
        way = "write it above the first table"
    return f"this key stands inside {table}, where it does not belong; {way}"


def _unknown_key(path: list[str], kind: type[BaseModel]) -> str:
    """Say that the last part of ``path`` is not a key, and which keys are."""
    known = _keys_at(kind, path[:-1])
    close = get_close_matches(path[-1], known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"unknown key{hint} Allowed: {', '.join(known)}"


def _keys_at(kind: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys that the table at ``path`` may have."""
    schema = kind.model_json_schema()
    node: dict[str, Any] = schema
    for part in path:
        node = _resolve(schema, node)
        inner = node.get("properties", {}).get(part, {})
        node = node.get("items", {}) if part.isdecimal() else inner
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow references and optional branches of a JSON schema to the object they mean."""
    for branch in node.get("anyOf", ()):
        if branch.get("type") != "null":
            node = branch
            break
    if "$ref" in node:
        resolved: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return resolved
    return node
