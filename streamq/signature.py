"""The signature of a handler as a compiled check: what its arguments may be, and how they are passed.

The parameters become the fields of one msgspec struct, so that the arguments of a task are parsed and validated in one step in C;
the sender's check is the same decoder, so nothing is accepted that the worker would refuse. Called by `registry.py` only.
"""

from __future__ import annotations

import inspect
import typing
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from streamq.context import Context
from streamq.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_CONTEXT_NAMES: Final = frozenset({"Context", "Context | None", "Optional[Context]", "None | Context"})
_SCALARS: Final = (type(None), bool, int, float, str, bytes)


class Arguments(msgspec.Struct):
    """Decoded arguments of a task; the fields are those of its handler's signature, in the order in which they are passed."""


class Parameter(NamedTuple):
    """One parameter of a handler that is sent."""

    name: str
    #: What msgspec checks it against.
    type: Any
    #: `inspect.Parameter.empty` where it must be given.
    default: Any
    is_keyword: bool
    is_positional_only: bool


class Signature(NamedTuple):
    """What a handler takes."""

    #: Those that can be passed by position first.
    parameters: tuple[Parameter, ...]
    #: How many can be passed by position.
    positional: int
    #: Type of the values of `**kwargs`, or None where there are none.
    rest: Any
    #: Name of the parameter that gets the context, or None.
    context: str | None
    #: Its position among those passed by position; None where it is passed by name.
    context_at: int | None
    #: What its result is on the other side: what it says it returns, where msgspec can make that of JSON, else Any.
    result: Any


def read(function: Callable[..., Any]) -> Signature:
    """Return what a handler takes.

    Raises:
        UsageError: it takes `*args`, which a JSON object cannot carry, or the context twice.
    """
    hints = _hints(function)
    parameters, rest, contexts = [], None, []
    before = 0
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints.get(name, Any)
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise UsageError(f"{where(function)}: a handler cannot take *{name}", hint="Name each parameter, or take one list.")
        if parameter.kind is parameter.VAR_KEYWORD:
            rest = _checkable(hint)
        elif _is_context(hint):
            contexts.append((name, None if parameter.kind is parameter.KEYWORD_ONLY else before))
        else:
            before += 1
            is_keyword = parameter.kind is parameter.KEYWORD_ONLY
            only = parameter.kind is parameter.POSITIONAL_ONLY
            parameters.append(Parameter(name, _checkable(hint), parameter.default, is_keyword, only))
    if len(contexts) > 1:
        raise UsageError(f"{where(function)}: more than one parameter is annotated Context")
    context, at = contexts[0] if contexts else (None, None)
    return Signature(tuple(parameters), sum(not p.is_keyword for p in parameters), rest, context, at, _result_type(hints))


def struct_of(signature: Signature) -> type[Arguments]:
    """Return the struct whose fields are the parameters.

    Fields have names of our own and are renamed to the parameters', so that no parameter can clash with what a struct has itself.
    """
    fields: list[Any] = []
    rename = {}
    for index, parameter in enumerate(signature.parameters):
        field = f"p{index}"
        rename[field] = parameter.name
        if parameter.default is inspect.Parameter.empty:
            fields.append((field, parameter.type))
        else:
            fields.append((field, parameter.type, _default(parameter.default)))
    if signature.rest is not None:
        fields.append(("rest", Any, msgspec.field(default=None)))
        rename["rest"] = "**"
    struct = msgspec.defstruct(
        "Arguments", fields, bases=(Arguments,), rename=rename, kw_only=True, forbid_unknown_fields=signature.rest is None
    )
    return typing.cast("type[Arguments]", struct)


def call_struct_of(signature: Signature) -> type[msgspec.Struct]:
    """Return a struct whose fields are the parameters, unchecked, for calls by position: it leaves out what is not given."""
    positional: list[Any] = []
    by_name: list[Any] = []
    rename = {}
    for index, parameter in enumerate(signature.parameters):
        field = f"p{index}"
        rename[field] = parameter.name
        unset = () if parameter.default is inspect.Parameter.empty else (msgspec.UNSET,)
        (by_name if parameter.is_keyword else positional).append((field, Any, *unset))
    keywords = msgspec.defstruct("Keywords", by_name, rename=rename, kw_only=True)
    return msgspec.defstruct("Call", positional, bases=(keywords,), rename=rename, gc=False)


def encode_hook(value: object) -> object:
    """JSON of what msgspec does not know: a path is its text."""
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"an object of type {type(value).__name__} cannot be written as JSON")


def decode_hook(kind: type, value: Any) -> Any:
    """What msgspec does not know from JSON: a path from its text."""
    if issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    raise TypeError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a handler, each resolved by itself: one that only type checkers can resolve stays text."""
    plain = inspect.unwrap(function)
    plain = getattr(plain, "__func__", plain)
    if not hasattr(plain, "__annotations__"):
        plain = type(plain).__call__
    scope = getattr(plain, "__globals__", {})
    closure = inspect.getclosurevars(plain).nonlocals if inspect.isfunction(plain) else {}
    hints = {}
    for name, annotation in getattr(plain, "__annotations__", {}).items():
        holder = type("Holder", (), {"__annotations__": {name: annotation}})
        try:
            hints[name] = typing.get_type_hints(holder, scope, closure, include_extras=True)[name]
        except Exception:  # noqa: BLE001 - an annotation may be any expression and fail at anything; then it checks nothing
            hints[name] = annotation
    return hints


def _result_type(hints: dict[str, Any]) -> Any:
    hint = hints.get("return", Any)
    return type(None) if hint is None else _checkable(hint)


def _is_context(hint: Any) -> bool:
    if isinstance(hint, str):
        return hint.strip("'\"").replace("streamq.", "").replace("context.", "") in _CONTEXT_NAMES
    return hint is Context or Context in typing.get_args(hint)


def _checkable(hint: Any) -> Any:
    """The annotation, where msgspec can check JSON against it; else anything goes."""
    if isinstance(hint, str):
        return Any
    try:
        msgspec.json.Decoder(hint, dec_hook=decode_hook)
        info = msgspec.inspect.type_info(hint)
    except Exception:  # noqa: BLE001 - msgspec refuses types in many ways, and runs code of the types' own
        return Any
    return Any if _is_foreign(info) else hint


def _is_foreign(info: Any) -> bool:
    """Whether a type that only a hook could make occurs anywhere outside of structs, dataclasses and the like."""
    if isinstance(info, msgspec.inspect.CustomType):
        return not issubclass(info.cls, PurePath)
    if not isinstance(info, msgspec.Struct):
        return False
    inner = [getattr(info, field, None) for field in ("type", "item_type", "key_type", "value_type")]
    inner += [*getattr(info, "types", ()), *getattr(info, "item_types", ())]
    return any(_is_foreign(each) for each in inner if each is not None)


def _default(value: Any) -> Any:
    """The default of a field: the object itself, as Python has it for parameters, where msgspec would copy it or refuse it."""
    return value if isinstance(value, _SCALARS) else msgspec.field(default_factory=lambda: value)


def where(function: Callable[..., Any]) -> str:
    """Module and name of a function, for messages."""
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
