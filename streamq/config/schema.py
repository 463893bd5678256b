"""Every key of the configuration: its name, type, bounds, default and meaning, in one place.

This file is the only source: the documented `config.yaml`, `config schema` (JSON Schema), the check of a user's file, the names
of the environment variables and `config show` are all made from these classes. A duration is written `30s` and held in seconds; a
size is written `256 MiB` and held in bytes. Nothing here reads a file; `streamq.config.load` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from streamq.config.url import scrub

#: A duration: written `30s`, `1h30m` or as a number of seconds; held in seconds.
Seconds = Annotated[float, Meta(extra={"written": "duration"})]
#: A size: written `256 MiB` or as a number of bytes; held in bytes.
Bytes = Annotated[int, Meta(extra={"written": "size"})]
#: A name that becomes part of Redis keys and of consumer names.
Name = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$(?!\n)", extra={"expected": "1 to 64 letters, digits, dots, hyphens and underscores"}),
]
#: A path: relative ones are relative to the project directory, in an option or the environment to the working directory.
FilePath = Annotated[str, Meta(min_length=1, extra={"written": "path"})]
#: An address that may hold a password: it is masked wherever it is printed.
Url = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:/", extra={"written": "url", "expected": "a URL, such as redis://localhost:6379/0"}),
]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section: immutable, keyword-only, without unknown keys, and without passwords where it is shown."""

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        values = (f"{name}={scrub(value)!r}" if isinstance(value, str) else f"{name}={value!r}" for name, value in shown.items())
        return f"{type(self).__name__}({', '.join(values)})"


class Server(Section, frozen=True, kw_only=True):
    """Where the queue lives: the embedded server, or one that is named here."""

    url: Annotated[
        Url | None,
        Meta(
            description=(
                "Address of a server of your own: redis://, rediss:// or unix://. null: the embedded server, "
                "which is started when it is needed. A password belongs in the environment: "
                "redis://:${REDIS_PASSWORD}@host."
            )
        ),
    ] = None
    data: Annotated[FilePath, Meta(description="Directory of the embedded server and of the catalogue.")] = ".streamq"
    durability: Annotated[
        Literal["everysec", "always"],
        Meta(
            description=(
                "How the embedded server writes to the disk. everysec: each second, a crash of the server can "
                "lose the last one or two. always: before each answer, nothing acknowledged is lost, sending is "
                "slower."
            )
        ),
    ] = "everysec"
    wait: Annotated[Seconds, Meta(ge=0, description="How long senders and commands wait for a server that restarts.")] = 60.0


class Queue(Section, frozen=True, kw_only=True):
    """The queue that commands and App() use."""

    name: Annotated[Name, Meta(description="Name of the queue: 1 to 64 letters, digits, dots, hyphens and underscores.")] = (
        "images"
    )
    max_size: Annotated[
        int,
        Meta(
            ge=0, description=("Most tasks that the queue holds, waiting, scheduled, running and retrying together. 0: no bound.")
        ),
    ] = 1_000_000
    on_full: Annotated[
        Literal["block", "reject"],
        Meta(description=("What a sender does when the queue is full. block: wait for room. reject: fail at once.")),
    ] = "block"


class Backoff(Section, frozen=True, kw_only=True):
    """Pause before a failed task is tried again: base x factor^(failures - 1), at most cap."""

    base: Annotated[Seconds, Meta(ge=0, description="Pause after the first failure.")] = 1.0
    factor: Annotated[float, Meta(ge=1, le=1000, description="Each further pause is this many times longer.")] = 2.0
    cap: Annotated[Seconds, Meta(ge=0, description="Longest pause.")] = 600.0
    jitter: Annotated[
        bool, Meta(description=("Spread the pauses at random, so that tasks that failed together do not return together."))
    ] = True


class Worker(Section, frozen=True, kw_only=True):
    """What consume runs, and how long it may take."""

    name: Annotated[Name | None, Meta(description="Name that people see. null: host name and process id.")] = None
    processes: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None, Meta(description="Processes of a worker. null: one a processor core.")
    ] = None
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(description=("Tasks that one process runs at the same time. null: 4 sync handlers, 100 async ones.")),
    ] = None
    lease: Annotated[
        Seconds,
        Meta(
            ge=1,
            le=86_400,
            description=(
                "A worker that gives no sign of life for this long has lost its tasks. It is renewed while a task"
                " runs: tasks may take longer."
            ),
        ),
    ] = 30.0
    grace: Annotated[
        Seconds,
        Meta(ge=0, description=("How long a worker that is asked to stop lets its tasks finish; the rest is handed back.")),
    ] = 30.0
    max_deliveries: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description=(
                "How often a task is tried before it goes to the dead letters, where neither it nor its handler says so."
            ),
        ),
    ] = 5
    backoff: Backoff = field(default_factory=Backoff)
    history: Annotated[int, Meta(ge=0, description="How many of the newest endings are kept for tasks and task show.")] = 10_000
    results: Annotated[Seconds, Meta(ge=1, description="How long a result is kept.")] = 3600.0
    unknown: Annotated[Seconds, Meta(ge=0, description="How long a task whose name no worker knows waits for one that does.")] = (
        86_400.0
    )
    patience: Annotated[
        Seconds, Meta(ge=0, description="How long a worker waits for a server that is gone before it gives up.")
    ] = 3600.0
    prefetch: Annotated[
        Annotated[int, Meta(ge=0, le=10_000)] | None,
        Meta(description=("Tasks that a process holds beyond those it runs. null: as the measured run times allow.")),
    ] = None
    tasks: Annotated[
        list[str], Meta(description="Python modules with your own tasks, looked for in the working directory first.")
    ] = []


class Produce(Section, frozen=True, kw_only=True):
    """What produce sends when its options do not say."""

    sources: Annotated[
        list[str], Meta(description="Files, folders and globs to send when none is named. []: the sample photographs.")
    ] = []
    output: Annotated[str, Meta(min_length=1, description="Folder of the results, below images.output.")] = "processed"
    name: Annotated[
        str,
        Meta(
            min_length=1,
            description=(
                "Name of a result in that folder. {dir} and {stem} come from the source, below its root; {ext} "
                "from the format; {operation}, {size} and {hash8} from the task."
            ),
        ),
    ] = "{dir}/{stem}_{operation}_{size}.{ext}"
    priority: Annotated[Literal["high", "default", "low"], Meta(description="Priority of tasks that name none.")] = "default"


class Limits(Section, frozen=True, kw_only=True):
    """What an image may be at most; checked before it takes memory."""

    pixels: Annotated[int, Meta(ge=1, description="Pixels of one frame of a source.")] = 50_000_000
    frames: Annotated[int, Meta(ge=1, description="Frames of an animation.")] = 200
    source_bytes: Annotated[Bytes, Meta(ge=1, description="Size of a source file.")] = 256 * 1024 * 1024
    dimension: Annotated[int, Meta(ge=1, le=65_535, description="Width and height of a result, in pixels.")] = 16_384


class Images(Section, frozen=True, kw_only=True):
    """The image task: where it reads and writes, and what it accepts."""

    roots: Annotated[
        list[FilePath],
        Meta(
            min_length=1,
            description=(
                "Folders below which sources are read; relative sources are relative to the first. The samples are always one."
            ),
        ),
    ] = field(default_factory=lambda: ["."])
    output: Annotated[FilePath, Meta(description="Folder below which results are written.")] = "."
    limits: Limits = field(default_factory=Limits)
    presets: Annotated[
        dict[Name, dict[str, Any]],
        Meta(
            description=(
                "Named operations for produce --preset NAME, such as card: {operation: resize, width: 400, format: webp}."
            ),
            extra={"expected": "a name with a section of keys, such as card: {operation: resize, width: 400}"},
        ),
    ] = {}
    fsync: Annotated[bool, Meta(description="Force each result to the disk before its task counts as finished.")] = True
    backend: Annotated[
        Literal["pillow", "vips"],
        Meta(
            description=(
                "What reads and scales. vips: libvips for JPEG, PNG and WebP that become smaller, Pillow for the rest; "
                "needs streamq[vips]."
            )
        ),
    ] = "pillow"


class Catalogue(Section, frozen=True, kw_only=True):
    """The database of what was made: one row a processed image."""

    url: Annotated[
        Url | None,
        Meta(
            description=(
                "Address of a database, such as postgresql://user:${DB_PASSWORD}@host/db or sqlite:////path/to/file.db. "
                "null: SQLite, catalogue.db in server.data."
            ),
            extra={"expected": "a URL, such as sqlite:////var/lib/streamq/catalogue.db"},
        ),
    ] = None


class Log(Section, frozen=True, kw_only=True):
    """Messages on stderr."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least important messages that are shown.")
    ] = "info"
    format: Annotated[
        Literal["auto", "rich", "plain", "json"],
        Meta(description="auto: rich on a terminal, plain elsewhere. json: one object a line."),
    ] = "auto"


class Document(Section, frozen=True, kw_only=True):
    """The configuration as a file holds it."""

    server: Server = field(default_factory=Server)
    queue: Queue = field(default_factory=Queue)
    worker: Worker = field(default_factory=Worker)
    produce: Produce = field(default_factory=Produce)
    images: Images = field(default_factory=Images)
    catalogue: Catalogue = field(default_factory=Catalogue)
    log: Log = field(default_factory=Log)


class Settings(Document, frozen=True, kw_only=True):
    """The configuration in force, checked and complete."""

    #: The project directory: that of the file in force, else the one that holds `.streamq`, else the working directory.
    project: Path
    #: The file in force, or None.
    file: Path | None = None
    #: Key -> where its value comes from (`FILE:LINE`, `environment NAME`, `option`); a key that is absent has its default.
    origins: dict[str, str] = {}

    @property
    def data_dir(self) -> Path:
        """Directory of the embedded server and of the catalogue, absolute; it need not exist."""
        return self.path(self.server.data)

    @property
    def image_roots(self) -> list[Path]:
        """Folders below which image sources may lie, absolute; the first is the one that relative sources are relative to."""
        return [self.path(root) for root in self.images.roots]

    @property
    def output_root(self) -> Path:
        """Folder below which image results are written, absolute."""
        return self.path(self.images.output)

    @property
    def catalogue_url(self) -> str:
        """Address of the catalogue's database in force; holds a password, so mask it before it is printed."""
        return self.catalogue.url or f"sqlite:///{self.data_dir / 'catalogue.db'}"

    def path(self, written: str) -> Path:
        """Return a path of the configuration, absolute: `~` is the home directory, others begin in the project directory."""
        return self.project / Path(written).expanduser()
