"""One task: its function, its options, and the compiled check of its arguments.

The sender calls `encode`, the worker `decode`, `call` and `dump`. Both check with the same decoder, one step in C for all
arguments, so that what was accepted fits the handler, and what does not fit never starts. No input or output here.
"""

from __future__ import annotations

import inspect
import math
import re
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, get_args, get_origin

import msgspec

from streamq import signature as signatures
from streamq.errors import InvalidTask, StreamqError, UsageError
from streamq.options import backoff_of, classes, deliveries, timeout_ms
from streamq.signature import Arguments
from streamq.wire import ARGS_MOST, Malformed, check_args, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta

    from streamq.backoff import Backoff
    from streamq.context import Context
    from streamq.signature import Parameter

    Duration = float | str | timedelta

#: What msgspec says of a value that is none of those that a parameter takes.
_NO_WORD: Final = re.compile(r"Invalid enum value .* - at `\$\.(\w+)", re.DOTALL)
#: What a NaN or an infinity is told.
_NO_NUMBER: Final = "JSON has no infinite number and no NaN"
_encoder = msgspec.json.Encoder(enc_hook=signatures.encode_hook)
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_to_builtins = msgspec.to_builtins
_astuple = msgspec.structs.astuple
#: Arguments of these types make JSON that is flat and names each parameter once: any reader understands it alike.
_PLAIN = frozenset({str, int, float, bool, type(None)})


class Options(TypedDict, total=False):
    """Options of a task, as its decorator takes them; see `TaskDefinition`."""

    name: str | None
    retries: int | None
    max_deliveries: int | None
    backoff: Backoff | None
    retry_on: type[BaseException] | tuple[type[BaseException], ...]
    timeout: Duration | None


class InvalidResult(StreamqError):
    """What a handler returned cannot be kept as JSON: an error of the task."""


class TaskDefinition:
    """One task: its function, its options, and the check of its arguments.

    Args:
        function: the handler, sync or async.
        name: the task's name; None: the function's.
        retries: how often a failed task is tried again; `retries=5` is six deliveries.
        max_deliveries: the same, counted in deliveries; one of the two.
        backoff: pauses between tries; None: the configuration's.
        retry_on: errors after which it is tried again; any other one is final.
        timeout: longest run; None: no limit.

    Raises:
        UsageError: an option or the signature makes no sense.
    """

    __slots__ = (
        "_by_position", "_decode", "_decode_rest", "_keywords", "_names", "_required", "_signature",
        "backoff", "function", "is_async", "max_deliveries", "name", "needs_context", "result_type", "retry_on",
        "timeout_ms",
    )  # fmt: skip

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        retries: int | None = None,
        max_deliveries: int | None = None,
        backoff: Backoff | None = None,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (BaseException,),
        timeout: Duration | None = None,
    ) -> None:
        self.function = function
        self.is_async = _is_async(function)
        self.name = check_name(name if name is not None else _name_of(function))
        #: How often it is delivered at most; None: as the task or the configuration says.
        self.max_deliveries = deliveries(retries, max_deliveries)
        self.backoff = backoff_of(backoff)
        self.retry_on = classes(retry_on)
        #: Longest run in ms; None: no limit.
        self.timeout_ms = timeout_ms(timeout)
        self._signature = signatures.read(function)
        #: Whether the handler has a parameter annotated `Context`.
        self.needs_context = self._signature.context is not None
        #: What a result is made into where it is waited for.
        self.result_type = self._signature.result
        self._keywords = tuple(parameter.name for parameter in self._signature.parameters if parameter.is_keyword)
        self._names = {parameter.name: parameter for parameter in self._signature.parameters}
        self._required = frozenset(name for name, each in self._names.items() if each.default is inspect.Parameter.empty)
        self._by_position = signatures.call_struct_of(self._signature)
        decoder = msgspec.json.Decoder(signatures.struct_of(self._signature), dec_hook=signatures.decode_hook)
        self._decode = decoder.decode
        self._decode_rest: Callable[[bytes], Any] | None = None
        if self._signature.rest is not None:
            self._decode_rest = msgspec.json.Decoder(self._signature.rest, dec_hook=signatures.decode_hook).decode

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """Return the arguments of a call as a JSON object; a parameter that is not given is not sent.

        Raises:
            InvalidTask: they do not fit the handler's signature; the error names the parameter and what was expected.
        """
        values, given = self._values(args, kwargs)
        try:
            raw = _encoder.encode(values)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidTask(f"task {self.name}: {self._unsendable(self._bind(args, kwargs), error)}") from None
        if b"null" in raw and (name := _not_finite(self._bind(args, kwargs))):
            raise InvalidTask(f"task {self.name}: parameter {name}: {_NO_NUMBER}")
        if len(raw) > ARGS_MOST:
            raise InvalidTask(
                f"task {self.name}: the arguments have {len(raw)} bytes of JSON, at most {ARGS_MOST} are sent",
                hint="Write what is large to a file or a store, and send where it is.",
            )
        try:
            self.decode(raw)
            if not _PLAIN.issuperset(map(type, given)):
                check_args(raw)
        except Malformed as error:
            raise InvalidTask(error.what, hint=error.hint) from None
        return raw

    def decode(self, raw: bytes) -> Arguments:
        """Return the arguments of a task, checked against the handler's signature.

        Raises:
            Malformed: they do not fit; an `InvalidTask`, and no attempt can succeed.
        """
        try:
            arguments: Arguments = self._decode(raw)
            if self._decode_rest is not None:
                setattr(arguments, "rest", self._rest(raw, self._decode_rest))  # noqa: B010 - a field only where there are **kwargs
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise Malformed(f"task {self.name}: {_readable(str(error))}{self._words(str(error))}") from None
        except RecursionError:
            raise Malformed(f"task {self.name}: the arguments are nested too deeply") from None
        return arguments

    def call(self, arguments: Arguments, context: Context | None = None) -> Any:
        """Call the handler: returns its result, or the coroutine of an async one."""
        signature = self._signature
        values = _astuple(arguments)
        if signature.context is None and len(values) == signature.positional:
            return self.function(*values)
        positional = values[: signature.positional]
        named = dict(zip(self._keywords, values[signature.positional :], strict=False))
        if signature.rest is not None:
            named |= values[-1]
        if signature.context_at is not None:
            positional = (*positional[: signature.context_at], context, *positional[signature.context_at :])
        elif signature.context is not None:
            named[signature.context] = context
        return self.function(*positional, **named)

    def dump(self, result: object) -> bytes | None:
        """Return a result as JSON; None of a None, which is not kept.

        Raises:
            InvalidResult: it is no JSON.
        """
        if result is None:
            return None
        try:
            raw = _encoder.encode(result)
            if b"null" in raw and _not_finite({"result": result}):
                raise ValueError(_NO_NUMBER)
            return raw
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidResult(
                f"task {self.name} returned what cannot be kept as JSON: {error}",
                hint="Return numbers, texts, lists, dicts, dataclasses or structs of them, or nothing.",
            ) from None

    def load(self, result: object) -> Any:
        """Return a result as the handler's annotation says, where it fits; else as JSON has it.

        Args:
            result: the decoded JSON.
        """
        try:
            return msgspec.convert(result, self.result_type, str_keys=True, dec_hook=signatures.decode_hook)
        except (msgspec.ValidationError, TypeError):  # a handler may return something else than it says
            return result

    def __repr__(self) -> str:
        return f"<TaskDefinition {self.name}>"

    def _values(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[object, Iterable[object]]:
        """What is written as the JSON of a call, and the arguments in it."""
        if not kwargs:
            try:
                return self._by_position(*args), args
            except TypeError:  # it is not called so: `_bind` says why
                pass
        values = self._bind(args, kwargs)
        return values, values.values()

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by parameter."""
        if len(args) > self._signature.positional:
            most = self._signature.positional
            raise InvalidTask(f"task {self.name} takes {most} argument{'s' * (most != 1)} by position, not {len(args)}")
        values = dict(zip(self._names, args, strict=False))
        for name, value in kwargs.items():
            parameter = self._names.get(name)
            if name in values:
                raise InvalidTask(f"task {self.name}: parameter {name} is given twice")
            if (parameter is None and self._signature.rest is None) or name == self._signature.context:
                raise InvalidTask(f"task {self.name} has no parameter {name}", hint=_known(self._names))
            if parameter is not None and parameter.is_positional_only:
                raise InvalidTask(f"task {self.name}: parameter {name} can be given by position only")
            values[name] = value
        if not self._required <= values.keys():
            missing = ", ".join(name for name in self._names if name in self._required and name not in values)
            raise InvalidTask(f"task {self.name}: missing {missing}", hint=_known(self._names))
        return values

    def _unsendable(self, values: dict[str, Any], error: Exception) -> str:
        """Which of the values cannot be written, and why."""
        for name, value in values.items():
            try:
                _encoder.encode(value)
            except (TypeError, ValueError, OverflowError, RecursionError) as own:
                return f"parameter {name}: {own}"
        return str(error)

    def _words(self, message: str) -> str:
        """What a parameter takes, where msgspec has named only the word that it does not take."""
        found = _NO_WORD.match(message)
        words = _words_of(self._names[found[1]].type) if found and found[1] in self._names else []
        return f", expected one of {', '.join(words)}" if words else ""

    def _rest(self, raw: bytes, decode: Callable[[bytes], Any]) -> dict[str, Any]:
        """What the handler's `**kwargs` get: the members that no parameter stands for."""
        members = _decode_members(raw)
        rest = {}
        for name, value in members.items():
            if name in self._names:
                continue
            if name == self._signature.context:
                raise ValueError(f"parameter {name} is not sent")
            try:
                rest[name] = decode(value)
            except msgspec.ValidationError as error:
                raise ValueError(_readable(str(error), name)) from None
        return rest


def _not_finite(values: Mapping[str, Any]) -> str | None:
    """Name of a value that holds a NaN or an infinity, which msgspec would write as null."""

    def occurs(value: Any) -> bool:
        if isinstance(value, float):
            return not math.isfinite(value)
        if isinstance(value, dict):
            value = value.values()
        elif not isinstance(value, list | tuple):
            return False
        return any(map(occurs, value))

    try:
        return next(
            (name for name, value in values.items() if occurs(_to_builtins(value, enc_hook=signatures.encode_hook))), None
        )
    except RecursionError:  # what is nested so deeply is refused for that
        return None


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(inspect.unwrap(function), "__name__", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(f"{function!r} has no name that a task could have", hint="Give it one with name=….")
    return name


def _is_async(function: Callable[..., Any]) -> bool:
    """Whether calling the handler gives a coroutine."""
    if not callable(function):
        raise UsageError(f"{function!r} is no function")
    candidates = (function, inspect.unwrap(function), type(function).__call__)
    if any(inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in candidates):
        raise UsageError(f"{signatures.where(function)} is a generator: a handler returns its result")
    return any(inspect.iscoroutinefunction(each) for each in candidates)


def _readable(message: str, parameter: str = "") -> str:
    """Return msgspec's message, a parameter called by its name: ``… - at `$.width` `` becomes `width: …`."""
    what, _, path = message.rpartition(" - at `$")
    if what or parameter:
        where = f"{parameter}{path.rstrip('`')}" if what else parameter
        what = what or message
        return f"{where.lstrip('.')}: {what[:1].lower()}{what[1:]}"
    message = message.replace("Object contains unknown field", "unknown parameter")
    return message.replace("Object missing required field `", "missing `")


def _words_of(annotation: Any) -> list[str]:
    """The values of a `Literal` or an enumeration, however it is wrapped."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(each.value) for each in annotation]
    return [word for part in get_args(annotation) for word in _words_of(part)]


def _known(names: Mapping[str, Parameter]) -> str:
    return f"Its parameters are: {', '.join(names)}." if names else "It takes none."
