"""Image tasks made of sources: what is asked for is checked, results get their names, nothing that a worker would refuse is sent.

A result has one task: two tasks of one call with one output are refused, as is a result that would replace its own source.
Pillow is not loaded.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from streamq.cli.sources import Image, Refused, located
from streamq.errors import UsageError
from streamq.images import naming
from streamq.images.roots import Located, Roots
from streamq.images.work import Work, plan
from streamq.prepared import Delivery, Prepared, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamq.config import Settings

#: What is done where nothing is asked for.
DEFAULT: Final = {"operation": "thumbnail", "width": 800, "height": 800}
#: Fields of a unique key that make it another one for each source.
KEY_FIELDS: Final = ("{source}", "{output}")


class Item(NamedTuple):
    """A task that can be sent, and how a person knows it."""

    prepared: Prepared[Any]
    label: str


class ImageTasks:
    """Makes one task of each source.

    Args:
        settings: roots, and where results go.
        arguments: what is to be done, as the task takes it, without source and output.
        folder: where results go, absolute or relative to the output root.
        template: their names.
        delivery: how the tasks are sent; its key may hold `KEY_FIELDS`.

    Raises:
        UsageError: what is to be done, or the template, makes no sense, or results may not lie in that folder.
    """

    def __init__(
        self, settings: Settings, arguments: Mapping[str, Any], *, folder: str, template: str, delivery: Delivery
    ) -> None:
        self._roots = Roots.of(settings)
        self._arguments = arguments
        self._folder = folder
        self._template = template
        self._delivery = delivery
        self._outputs: set[str] = set()
        self._target = functools.lru_cache(1024)(self._target_folder)
        naming.check(template)
        self._check_folder()
        for mark in plan({"source": "a.jpg", **arguments}).marks:
            self._check_mark(mark)
        if arguments.get("mark") is not None:
            self._arguments = {**arguments, "mark": self._written(self._roots.source(arguments["mark"]))}

    @property
    def folder(self) -> Path:
        """The folder of the results, absolute."""
        return self._roots.output / self._folder

    def _check_mark(self, mark: str) -> None:
        """Refuse a watermark that no worker could read; a relative one is relative to the first root, as for the worker."""
        found = located(str(self._roots.inputs[0] / mark), self._roots)
        if isinstance(found, Refused):
            raise UsageError(f"the watermark {mark} cannot be used: {found.error}")

    def _written(self, found: Located) -> str:
        """A path as a task has it."""
        return str(found.below if found.root == self._roots.inputs[0] else found.path)

    def _check_folder(self) -> None:
        try:
            self._target(str(self.folder))
        except UsageError as error:
            what = f"the folder of the results, {self.folder}, lies outside of the output root {self._roots.output}"
            raise UsageError(what, hint=error.hint or "Set images.output to write elsewhere.") from None

    def make(self, source: str) -> Item | Refused:
        """The task of a source, or why there is none."""
        image = located(source, self._roots)
        if isinstance(image, Refused):
            return image
        try:
            return self._item(image)
        except UsageError as error:
            return Refused(source, error.what)

    def _item(self, image: Image) -> Item:
        source = self._written(image.located)
        work = plan({"source": source, **self._arguments})
        output = self._output(image, work)
        if output in self._outputs:
            raise UsageError(f"another task of this call has the result {output}; --name tells them apart")
        self._outputs.add(output)
        delivery = self._delivery
        if delivery.key is not None:
            delivery = delivery._replace(key=delivery.key.replace("{source}", source).replace("{output}", output))
        args = msgspec.json.encode({"source": source, "output": output, **self._arguments})
        return Item(prepare("image", args, delivery), f"{source} -> {output}")

    def _output(self, image: Image, work: Work) -> str:
        """The path of a result as its task has it, checked."""
        output = naming.output_path(self._roots, self._folder, self._template, image.located, work)
        path = self._target(str(Path(output).parent)) / Path(output).name
        if path == image.located.path:
            raise UsageError("its result would replace it; --output or --name says where it goes")
        return output

    def _target_folder(self, folder: str) -> Path:
        """A folder of results, links followed, that lies below the output root."""
        return self._roots.target(f"{folder}/x").path.parent


def check(args: bytes) -> None:
    """Refuse the arguments of an image task that no worker could carry out; its source is not looked at.

    Raises:
        UsageError: an operation or a parameter makes no sense.
    """
    arguments = msgspec.json.decode(args, type=dict[str, Any])
    if not isinstance(arguments.get("source"), str):
        raise UsageError("an image task needs a source")
    plan(arguments)
