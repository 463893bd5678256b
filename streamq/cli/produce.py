"""`streamq produce`: sends tasks, an image each, or any task, from the command line, a file or stdin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from click.core import ParameterSource

from streamq.cli.options import DURATION
from streamq.cli.render import compact, note
from streamq.cli.sections import Sectioned
from streamq.cli.sources import STDIN, Refused
from streamq.errors import UsageError
from streamq.keys import PRIORITIES

if TYPE_CHECKING:
    from streamq.cli.images import ImageTasks, Item
    from streamq.cli.state import State
    from streamq.prepared import Options

#: Parameters of the image task that have an option, and what they are.
PARAMETERS: Final = {
    "width": (int, "Width of the result, in pixels."),
    "height": (int, "Height of the result, in pixels."),
    "fit": (str, "How resize fits: cover, contain, fill, inside or outside."),
    "gravity": (str, "Which part stays, or where the watermark lies: center, north, southeast …"),
    "enlarge": (bool, "Let resize blow small images up."),
    "box": (str, "What crop cuts out: LEFT,TOP,RIGHT,BOTTOM."),
    "angle": (float, "Degrees that rotate turns clockwise."),
    "expand": (bool, "Let rotate make room for the corners."),
    "direction": (str, "How flip mirrors: horizontal, vertical or both."),
    "radius": (float, "Radius of blur and sharpen, in pixels."),
    "amount": (int, "Strength of sharpen, in per cent."),
    "thickness": (int, "Thickness of border, in pixels."),
    "color": (str, "Colour of border, such as #ffcc00."),
    "background": (str, "Colour behind what is transparent or empty."),
    "brightness": (float, "Brightness for adjust; 1 leaves it."),
    "contrast": (float, "Contrast for adjust; 1 leaves it."),
    "saturation": (float, "Saturation for adjust; 1 leaves it."),
    "mark": (Path, "Image that watermark lays on, a file below the image roots."),
    "opacity": (float, "Opacity of the watermark, 0 to 1."),
    "scale": (float, "Width of the watermark, as a share of the image's: 0.2."),
    "margin": (int, "Distance of the watermark from the edge, in pixels."),
    "format": (str, "Format of the result: jpeg, png, webp, avif, gif, tiff …"),
    "quality": (int, "Quality of the result, 1 to 100, on the scale of JPEG."),
}


_FILE: Final = (
    "Send the tasks of a file, or of stdin (-): a JSON object a line with task, args, and where wanted "
    "priority, delay, at, timeout, max, expires, unique. Nothing of a file is sent unless every line of it can be; "
    "what comes on stdin or through a pipe is sent as it comes."
)


def _parameters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each parameter of the image task."""
    for name, (kind, text) in reversed(PARAMETERS.items()):
        if kind is bool:
            command = click.option(f"--{name}/--no-{name}", default=None, help=text)(command)
        else:
            command = click.option(f"--{name}", type=kind, metavar=name.upper(), help=text)(command)
    return command


#: Headings of the help page -> the options below each.
SECTIONS: Final = {
    "What to send": ["recursive", "null", "task_name", "task_args", "task_file"],
    "Image operations": ["operation", "preset", "steps", *PARAMETERS],
    "Results of images": ["output", "template"],
    "When and how often it runs": ["priority", "delay", "at", "expires", "timeout", "max_deliveries", "unique"],
    "How it is sent": ["wait", "dry_run", "on_full"],
}


@click.command(cls=Sectioned, sections=SECTIONS)
@click.argument("sources", nargs=-1, metavar="[SOURCE|-]...")
@click.option("-r", "--recursive", is_flag=True, help="Enter folders in folders.")
@click.option("-0", "--null", is_flag=True, help="Paths on stdin have a NUL behind each, as `find -print0` writes them.")
@click.option("--operation", metavar="NAME", help="What to do: resize, thumbnail, crop, rotate, flip, grayscale, convert …")
@click.option("--preset", metavar="NAME", help="What to do, by its name in images.presets.")
@click.option("--steps", metavar="JSON", help="What to do, several operations in order.")
@_parameters
@click.option("--output", metavar="DIR", help="Folder of the results.  [default: produce.output, processed]")
@click.option("--name", "template", metavar="TEMPLATE", help="Names of the results.  [default: produce.name]")
@click.option("--task", "task_name", metavar="NAME", help="Send this task instead of images.")
@click.option("--args", "task_args", metavar="JSON", help="Its arguments, a JSON object.")
@click.option("--file", "task_file", metavar="FILE", help=_FILE)
@click.option("--priority", type=click.Choice(PRIORITIES), help="Priority.  [default: produce.priority, default]")
@click.option("--delay", type=DURATION, metavar="DURATION", help="Not before so much time: 30s, 10m, 1h30m.")
@click.option("--at", metavar="TIME", help="Not before this time: 18:30, 2027-03-01T08:30, +10m.")
@click.option("--expires", metavar="DURATION|TIME", help="Not after so much time, or this time: a dead letter then.")
@click.option("--timeout", type=DURATION, metavar="DURATION", help="Longest run of one try.")
@click.option("--max-deliveries", type=click.IntRange(1, 1_000_000), metavar="N", help="How often it is tried at most.")
@click.option(
    "--unique",
    metavar="KEY",
    help="While a task with this key has not ended, no other; {source} and {output} stand for an image's.",
)
@click.option("--wait", is_flag=True, help="Wait until all have ended; exit status 1 where one did not finish.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
@click.option("--on-full", type=click.Choice(["block", "reject"]), help="Wait for room in a full queue, or fail.")
@click.pass_obj
def produce(state: State, /, **given: Any) -> int:
    """Send tasks: one for each image that SOURCE names, a file, a folder, a glob, or - for paths on stdin.

    Without SOURCE: what produce.sources of the configuration names, else the sample photographs that the package carries.
    Without --operation, --preset or --steps: a thumbnail of at most 800 x 800 pixels.

    Exit status 1: a source cannot be sent, or the queue is full; the others are sent. Whoever reads the output may go (| head):
    all are sent nevertheless.
    """
    from streamq.cli.sending import Sending

    bursts, many = _bursts(state, given)
    if not given["dry_run"]:
        state.announce()
    return Sending(state, on_full=given["on_full"], wait=given["wait"], dry_run=given["dry_run"], many=many).run(bursts)


def _bursts(state: State, given: dict[str, Any]) -> tuple[Iterable[Iterable[Item | Refused]], int | None]:
    """What is to be sent, and how many there are (None: nobody knows); what is wrong with the options is found before any is."""
    options: Options = {
        "priority": given["priority"] or state.settings.produce.priority,
        "delay": given["delay"],
        "at": given["at"],
        "expires": given["expires"],
        "timeout": given["timeout"],
        "max_deliveries": given["max_deliveries"],
        "unique": given["unique"],
    }
    if given["task_name"] is None and given["task_file"] is None:
        if given["task_args"] is not None:
            raise UsageError("--args are those of a task", hint="Name it with --task.")
        return _images(state, given, options), None
    said = click.get_current_context().get_parameter_source
    for name in ("sources", "operation", "preset", "steps", "output", "template", "recursive", "null", *PARAMETERS):
        if said(name) is ParameterSource.COMMANDLINE:
            what = {"sources": "SOURCE", "template": "--name"}.get(name, f"--{name}")
            raise UsageError(f"{what} is for images, not for --{'task' if given['task_name'] else 'file'}")
    from streamq.cli import taskfile

    if given["task_file"] is None:
        task = taskfile.make(given["task_name"], (given["task_args"] or "{}").encode(errors="surrogatepass"), options)
        return [[task]], 1
    if given["task_name"] is not None or given["task_args"] is not None:
        raise UsageError("--task and --file cannot stand together", hint="Each line of the file names its task.")
    if given["unique"] is not None:
        raise UsageError("--unique is for one task", hint="Write `unique` into the lines of the file.")
    return taskfile.bursts(given["task_file"], options, shown=state.out.draws)


def _images(state: State, given: dict[str, Any], options: Options) -> Iterator[Iterable[Item | Refused]]:
    """The image tasks of the sources."""
    from streamq.cli import sources as finding
    from streamq.cli.images import KEY_FIELDS, ImageTasks
    from streamq.prepared import resolve

    settings = state.settings
    named = _named(state, given)
    arguments = _arguments(state, given)
    key = given["unique"]
    if key is not None and not any(field in key for field in KEY_FIELDS) and (len(named) > 1 or not Path(named[0]).is_file()):
        raise UsageError(
            f"--unique {key} would be the key of several tasks, of which only one can be",
            hint="Write {source} or {output} into it: they stand for those of each image.",
        )
    tasks = ImageTasks(
        settings,
        arguments,
        folder=str(Path(given["output"]).absolute()) if given["output"] is not None else settings.produce.output,
        template=given["template"] or settings.produce.name,
        delivery=resolve(options),
    )
    if STDIN not in named:
        found = finding.found(named, recursive=given["recursive"], skip=tasks.folder)
        return iter([_made(found, tasks)])
    if len(named) > 1:
        raise UsageError("- stands for all sources, and cannot stand beside others")
    pieces = finding.arrived(b"\0" if given["null"] else b"\n", finding.stdin())
    return (_made(finding.paths(piece), tasks) for piece in pieces)


def _made(found: Iterable[str | Refused], tasks: ImageTasks) -> Iterator[Item | Refused]:
    return (each if isinstance(each, Refused) else tasks.make(each) for each in found)


def _named(state: State, given: dict[str, Any]) -> list[str]:
    """The sources, as paths relative to the working directory or absolute."""
    if given["sources"]:
        return list(given["sources"])
    configured = state.settings.produce.sources
    if configured:
        note(f"no source is named: those of the configuration, {compact(' '.join(configured), 200)}")
        return [str(state.settings.path(each)) for each in configured]
    from streamq.cli.sources import samples

    found = samples()
    note(f"no source is named: the {len(found)} sample photographs in {Path(found[0]).parent}")
    return found


def _arguments(state: State, given: dict[str, Any]) -> dict[str, Any]:
    """What is to be done with each image, as the task takes it."""
    arguments: dict[str, Any] = {}
    if given["preset"] is not None:
        arguments |= _preset(state, given["preset"])
    if given["steps"] is not None:
        arguments["steps"] = _json("--steps", given["steps"])
    if given["operation"] is not None:
        arguments["operation"] = given["operation"]
    said = {name: given[name] for name in PARAMETERS if given[name] is not None}
    if "box" in said:
        said["box"] = _box(said["box"])
    if "mark" in said:
        said["mark"] = str(said["mark"].absolute())
    arguments |= said
    if "operation" in arguments or "steps" in arguments:
        return arguments
    if arguments.keys() <= {"format", "quality", "background"} and arguments:
        return {"operation": "convert", **arguments}
    if arguments:
        return {"operation": "resize", **arguments}
    from streamq.cli.images import DEFAULT

    note(f"no operation is named: {DEFAULT['operation']}, at most {DEFAULT['width']} x {DEFAULT['height']} pixels")
    return dict(DEFAULT)


def _preset(state: State, name: str) -> dict[str, Any]:
    presets = state.settings.images.presets
    if name in presets:
        return dict(presets[name])
    import difflib

    close = difflib.get_close_matches(name, presets)
    known = f"Presets are: {', '.join(presets)}." if presets else "Presets are defined in config.yaml, below images.presets."
    raise UsageError(f"no preset is named {name!r}", hint=f"Did you mean {close[0]}?" if close else known)


def _json(option: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"{option}: expected JSON: {error}") from None


def _box(text: str) -> list[int]:
    try:
        box = [int(part) for part in text.split(",")]
    except ValueError:
        box = []
    if len(box) != 4:  # noqa: PLR2004 - four sides
        raise UsageError(f"--box: expected LEFT,TOP,RIGHT,BOTTOM in pixels, not {text!r}")
    return box
