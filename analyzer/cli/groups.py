"""Groups of options: a command takes a public object as one argument, and has a flag for each of its fields."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from analyzer.errors import InputError


@dataclass(frozen=True)
class Flag:
    """How one field is written on the command line; the object itself says what makes sense.

    Attributes:
        names: the flag, and after a slash a shorter name.
        metavar: what stands for the value (None: the flag has none).
        help: one sentence.
        kind: the type that Typer reads; `list[str]` makes the flag repeatable.
        read: makes the field's value of what Typer read.
        panel: under which heading the help lists it.
        shows_default: whether the help names the default.
    """

    names: str
    metavar: str | None
    help: str
    kind: Any = str
    read: Callable[[Any], Any] | None = None
    panel: str | None = None
    shows_default: bool = False


@dataclass(frozen=True)
class Group:
    """What some flags are put together to; defaults are those of the object's fields."""

    makes: type
    flags: Mapping[str, Flag]
    make: Callable[..., Any] | None = None  # if not the object's own constructor


class Filled(functools.partial[Any]):
    """An object in the making; `words` are, by field, the flags that were given for it."""

    words: Mapping[str, tuple[str, ...]] = {}


class Without(tuple[str, ...]):
    """Fields of a group that a command has no flags for: `Annotated[partial[Data], Without(["holdout"])]`."""


def with_groups(groups: Mapping[type, Group]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a command of a function: each parameter `partial[X]` is replaced by the flags of X's group.

    The function is called with what makes an X of the flags that were given, so that it can add to them.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        wanted: dict[str, tuple[Group, list[str]]] = {}
        parameters: list[inspect.Parameter] = []
        hints = get_type_hints(function, include_extras=True)
        for parameter in inspect.signature(function).parameters.values():
            kind, without = _parts(hints[parameter.name])
            if get_origin(kind) is functools.partial:
                group = groups[get_args(kind)[0]]
                names = [name for name in group.flags if name not in without]
                wanted[parameter.name] = group, names
                parameters += [_parameter(group, name) for name in names]
            else:
                keyword = inspect.Parameter.KEYWORD_ONLY
                parameters.append(parameter.replace(annotation=hints[parameter.name], kind=keyword))

        @functools.wraps(function)
        def command(**given: Any) -> None:
            filled = {}
            for parameter, (group, names) in wanted.items():
                typed = {name: given.pop(name) for name in names}
                read = {name: _value(group.flags[name], value) for name, value in typed.items()}
                values = {name: value for name, value in read.items() if value is not None}
                filled[parameter] = Filled(_made, group, **values)
                filled[parameter].words = {name: _words(group, name, value) for name, value in typed.items()}
            function(**given, **filled)

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what Typer reads
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _words(group: Group, name: str, given: Any) -> tuple[str, ...]:
    """How a flag is typed; nothing where it is as it would be anyhow."""
    flag = group.flags[name]
    names = flag.names.split("/")[0]
    if given is None or given == [] or ((flag.shows_default or flag.kind is bool) and given == _default(group, name)):
        return ()
    if isinstance(given, bool):
        return (names,)
    return tuple(word for value in (given if isinstance(given, list) else [given]) for word in (names, str(value)))


def _default(group: Group, name: str) -> Any:
    return next(field.default for field in fields(group.makes) if field.name == name)


def _made(group: Group, **values: Any) -> Any:
    """The object; what it says against one of its fields names the flag instead.

    Raises:
        InputError: a value makes no sense.
    """
    try:
        return (group.make or group.makes)(**values)
    except InputError as error:
        said = re.match(r"(?:The choice's )?(\w+)(?= (?:is|are|gives|says) )(.*)", str(error), re.DOTALL)
        flag = None if said is None else group.flags.get(said[1])
        if said is None or flag is None:
            raise
        raise InputError(f"{flag.names.partition('/')[0]}{said[2]}") from error


def _parts(hint: Any) -> tuple[Any, Without]:
    """The type, and the fields that are left out."""
    if get_origin(hint) is not Annotated:
        return hint, Without()
    kind, *notes = get_args(hint)
    return kind, next((note for note in notes if isinstance(note, Without)), Without())


def _parameter(group: Group, name: str) -> inspect.Parameter:
    flag = group.flags[name]
    stated = flag.shows_default or flag.kind is bool  # others that are not given are left to the object
    default = _default(group, name) if stated else None
    option = typer.Option(
        *flag.names.split("/"),
        help=flag.help,
        metavar=flag.metavar,
        rich_help_panel=flag.panel,
        show_default=flag.shows_default,
    )
    kind = flag.kind | None if default is None else flag.kind
    annotation = Annotated[kind, option]  # type: ignore[valid-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _value(flag: Flag, given: Any) -> Any:
    """The field's value; None for a flag that was not given."""
    if given is None or given == []:
        return None
    if flag.read is not None:
        return flag.read(given)
    return tuple(given) if isinstance(given, list) else given
