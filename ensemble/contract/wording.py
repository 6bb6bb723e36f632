"""What is wrong with a value that is none of the contract's, field by field, with the fix; never what stood in a field."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAliasType, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ensemble.contract.base import NAME_PATTERN, STEP_PATTERN, TRACE_ID_PATTERN
from ensemble.contract.problems import Fault

__all__ = ["LONGEST_FIELD", "NO_OBJECT", "PATTERNS", "faults_in"]

LONGEST_FIELD = 200
"""Characters of a field's name that are repeated to its sender."""

_TEXT = ("no text", "Write a text in quotes.")
_WHOLE = ("no whole number", "Write a whole number, without quotes and fraction.")
_NUMBER = ("no number", "Write a number, without quotes.")
_TRUTH = ("neither true nor false", "Write true or false, without quotes.")
_LIST = ("no list", "Write a JSON list: [...].")
NO_OBJECT = "Write a JSON object: {...}."
_OBJECT = ("no object", NO_OBJECT.replace("{", "{{").replace("}", "}}"))
_AMOUNT = ("no decimal number", "Write a number, such as 0.002.")
_WORD = ("none of the words known here", "Write {expected}.")

_WORDS: dict[str, tuple[str, str]] = {
    "missing": ("missing", "Send it."),
    "string_type": _TEXT,
    "string_unicode": ("no text: half of a character stands in it", "Write whole characters."),
    "string_too_short": ("too short", "Write {min_length} or more characters."),
    "string_too_long": ("too long", "Write up to {max_length} characters."),
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": ("too large a number", "Write a smaller number."),
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": ("no finite number", "Write a number; leave the field out for its default."),
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "too_short": ("too few", "Write at least {min_length}."),
    "too_long": ("too many", "Write at most {max_length}."),
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "greater_than": ("too small", "Write more than {gt}."),
    "greater_than_equal": ("too small", "Write {ge} or more."),
    "less_than": ("too large", "Write less than {lt}."),
    "less_than_equal": ("too large", "Write {le} or less."),
    "decimal_type": _AMOUNT,
    "decimal_parsing": _AMOUNT,
    "decimal_max_digits": ("too many digits", "Write at most {max_digits} digits."),
    "decimal_max_places": ("too fine", "Write at most {decimal_places} digits behind the point."),
    "decimal_whole_digits": ("too large", "Write at most {whole_digits} digits before the point."),
    "enum": _WORD,
    "literal_error": _WORD,
    "union_tag_invalid": ("of no kind known here", "Let its {discriminator} be {expected_tags}."),
    "union_tag_not_found": ("of no kind known here", "Write its {discriminator}."),
    "recursion_loop": ("too deep in itself", "Write lists and objects that stand less deep in each other."),
}
"""For a type of pydantic's errors: the problem, and the fix with the numbers and words of the error's context."""
_ELSE = ("not as it has to be", "Send what the API's documentation says of this field.")

_TICKET = "Write 1-128 letters (A-Z, a-z), digits, - and _."
_HEX_64 = "Send 64 hex digits, 0-9 and a-f: a SHA-256."
PATTERNS: dict[str, str] = {
    r"^[0-9a-f]{32}$": "Send 32 hex digits, 0-9 and a-f, as the engine mints ids.",
    r"^[0-9a-f]{12,32}$": "Send the first 12 hex digits or more of a ticket, 0-9 and a-f.",
    r"^[0-9a-f]{64}$": _HEX_64,
    TRACE_ID_PATTERN: _TICKET,
    NAME_PATTERN: "Write 1-64 letters of any script, digits, spaces and _ . -",
    STEP_PATTERN: "Write letters of any script, digits, spaces and _ . - / [ ]",
    r"^[\w .:@/\-]{1,128}$": "Write 1-128 letters of any script, digits, spaces and _ . : @ / -",
    r"^[A-Z]{3,8}$": "Write 3-8 capital letters, such as USD.",
    r"^[^\x00-\x1f\x7f]+$": "Leave out line breaks, tabs and other control characters.",
}
"""What each pattern of the contract asks for, in words."""

_ANY_OF = {"str": "a text", "int": "a number", "float": "a number", "bool": "true or false"}
"""How pydantic names the ways of a value that may be of several plain types, each of which it finds wrong by itself."""


def faults_in(found: Sequence[ErrorDetails], asked: type[BaseModel] | None = None) -> list[Fault]:
    """Return a fault for each field that pydantic *found* something wrong with in an *asked*.

    A value of several plain types, found wrong for each of them, is one fault. Without *asked* no field is told the
    names it may be meant for.
    """
    ways: dict[tuple[int | str, ...], set[int | str]] = {}
    for each in found:
        if each["loc"]:
            ways.setdefault(each["loc"][:-1], set()).add(each["loc"][-1])
    faults: dict[tuple[int | str, ...], Fault] = {}
    for each in found:
        loc = each["loc"]
        if loc and _ANY_OF.keys() <= ways[loc[:-1]] and loc[-1] in _ANY_OF:
            loc = loc[:-1]
            fix = f"Write {', '.join(dict.fromkeys(_ANY_OF.values()))} or null."
            faults[loc] = Fault(field=_named(loc), problem="of no type that can stand here", fix=fix)
        else:
            problem, fix = _said(each, asked)
            faults.setdefault(loc, Fault(field=_named(loc), problem=problem, fix=fix))
    return list(faults.values())


def _named(loc: Sequence[int | str]) -> str:
    return (".".join(str(part) for part in loc) or "body")[:LONGEST_FIELD]


def _said(error: ErrorDetails, asked: type[BaseModel] | None) -> tuple[str, str]:
    """Return problem and fix of one error."""
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return "not known here", _spelled(error["loc"], asked)
        case "string_pattern_mismatch":
            pattern = context["pattern"]
            return "written otherwise than it has to be", PATTERNS.get(pattern, f"Write it by the pattern {pattern}")
        case "value_error":  # raised by the contract itself, whose sentences tell the fix behind a semicolon
            problem, _, fix = str(context["error"]).partition("; ")
            return problem, f"{fix[:1].upper()}{fix[1:]}." if fix else "Change it so that this holds."
    problem, fix = _WORDS.get(error["type"], _ELSE)
    fix = fix.format_map(context)
    if "expected" in context and NoneType in _kinds(_at(asked, error["loc"])):
        *words, last = fix.removesuffix(".").split(" or ")
        fix = f"{', '.join([*words, last])} or null."
    return problem, fix


def _spelled(loc: Sequence[int | str], asked: type[BaseModel] | None) -> str:
    """Say what to do about a field nobody knows, with the name it is near to."""
    known = [name for kind in _kinds(_at(asked, loc[:-1])) if _is_model(kind) for name in _names(kind)]
    near = get_close_matches(str(loc[-1])[:LONGEST_FIELD], known, n=1)
    return f"Leave it out, or call it {near[0]}." if near else "Leave it out."


def _at(asked: type[BaseModel] | None, loc: Sequence[int | str]) -> Any:
    """Return the annotation of what stands at *loc* of an *asked*, None where it has none."""
    annotation: Any = asked
    for part in loc:
        annotation = next((inner for kind in _kinds(annotation) if (inner := _inside(kind, part))), None)
    return annotation


def _inside(kind: Any, part: int | str) -> Any:
    """Return the annotation of the field, item or value *part* of a *kind*."""
    if _is_model(kind):
        fields = (field for field in kind.model_fields.items() if part in _spellings(*field))
        return next((field.annotation for _, field in fields), None)
    inner = get_args(kind)
    return inner[-1 if get_origin(kind) is dict else 0] if inner else None


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the types that *annotation* allows, without what stands around them."""
    if isinstance(annotation, TypeAliasType):
        return _kinds(annotation.__value__)
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return tuple(kind for each in get_args(annotation) for kind in _kinds(each))
    return (annotation,)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _names(model: type[BaseModel]) -> list[str]:
    return [spelling for field in model.model_fields.items() for spelling in _spellings(*field)]


def _spellings(name: str, field: FieldInfo) -> list[str]:
    """Return what a field may be called in an ask."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias] if isinstance(alias, str) else [name]
