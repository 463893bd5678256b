"""The configuration: precedence, every fault at once with its line, the environment, the project, no leaked password."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.config import load, mask, text
from streamq.config.convert import Raw, convert, expected
from streamq.config.environment import variable
from streamq.config.fields import fields
from streamq.config.schema import Document, Settings
from streamq.config.url import scrub
from streamq.errors import ConfigError, UsageError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project directory."""
    return tmp_path


def write(project: Path, content: str) -> None:
    """Give the project a config.yaml."""
    (project / "config.yaml").write_text(content, encoding="utf-8")


def faults(project: Path, content: str, **environ: str) -> list[str]:
    """The faults of a config.yaml."""
    write(project, content)
    with pytest.raises(ConfigError) as refused:
        load(cwd=project, environ=environ)
    return refused.value.faults


def test_without_anything_the_defaults_are_in_force(project: Path) -> None:
    """No file and no variable: the defaults, and the working directory is the project."""
    settings = load(cwd=project, environ={})
    assert {name: getattr(settings, name) for name in Document.__struct_fields__} == msgspec.structs.asdict(Document())
    assert (settings.project, settings.file, settings.origins) == (project, None, {})


def test_an_option_goes_before_the_environment_before_the_file_before_the_default(project: Path) -> None:
    """Each source wins over the ones below it, and the origin says which one did."""
    write(project, "worker:\n  lease: 10s\n  grace: 10s\n  results: 10s\n")
    environ = {"STREAMQ_WORKER__LEASE": "20s", "STREAMQ_WORKER__GRACE": "20s"}
    settings = load(cwd=project, environ=environ, overrides={"worker.lease": "30s", "queue.name": None})
    worker = settings.worker
    assert (worker.lease, worker.grace, worker.results, worker.unknown) == (30, 20, 10, 86_400)
    assert settings.origins == {
        "worker.lease": "option",
        "worker.grace": "environment STREAMQ_WORKER__GRACE",
        "worker.results": "config.yaml:4",
    }


def test_a_section_may_have_nothing_but_an_inner_one(project: Path) -> None:
    """What the inner one says counts all the same."""
    write(project, "worker:\n  backoff:\n    base: 2s\n")
    assert load(cwd=project, environ={}).worker.backoff.base == 2


def test_every_key_can_be_set_by_its_variable() -> None:
    """The default of each key, written as a file would have it, is accepted from its variable."""
    for key, field in fields().items():
        written = text.written(field, field.default)
        settings = load(cwd="/", environ={variable(key): written.strip('"')})
        assert field.written == "path" or field.default == text.current(settings, key), key


def test_short_variables_set_url_queue_and_data(project: Path) -> None:
    """`STREAMQ_URL`, `STREAMQ_QUEUE` and `STREAMQ_DATA`; an empty one sets nothing."""
    environ = {"STREAMQ_URL": "redis://h", "STREAMQ_QUEUE": "mail", "STREAMQ_DATA": "d", "STREAMQ_LOG__LEVEL": ""}
    settings = load(cwd=project, environ=environ)
    assert (settings.server.url, settings.queue.name, settings.data_dir) == ("redis://h", "mail", project / "d")
    assert settings.log.level == "info"


def test_variables_hold_lists_and_sections(project: Path) -> None:
    """A list is written with commas or as JSON, a section as JSON."""
    environ = {"STREAMQ_WORKER__TASKS": "a, b", "STREAMQ_IMAGES__ROOTS": '["/x,y"]'}
    environ["STREAMQ_IMAGES__PRESETS"] = '{"card": {"operation": "resize"}}'
    settings = load(cwd=project, environ=environ)
    assert settings.worker.tasks == ["a", "b"]
    assert settings.images.roots == ["/x,y"]
    assert settings.images.presets == {"card": {"operation": "resize"}}


def test_variables_of_other_programs_are_left_alone(project: Path) -> None:
    """`STREAMQ_` without two underscores is not a key."""
    assert load(cwd=project, environ={"STREAMQ_SERVER_BINARY": "/bin/x"}).origins == {}


def test_all_faults_are_reported_at_once_each_with_its_line(project: Path) -> None:
    """One run shows everything that has to be mended, in the order of the file, then of the environment."""
    content = """\
server: {url: nonsense}
worker:
  lease: 0.5
  lese: 4
  processes: many
  backoff:
    jitter: maybe
  tasks: foo
wroker: {}
priority: high
images:
  limits: {source_bytes: 12 parsecs}
produce:
  priority: hgih
log: 3
"""
    found = faults(project, content, STREAMQ_QUEUE="a b")
    assert found == [
        "config.yaml:1: server.url: expected a URL, such as redis://localhost:6379/0, or null, not a text without a scheme",
        "config.yaml:3: worker.lease: expected a duration from 1s to 1d, such as 30s or 5m, not 0.5",
        "config.yaml:4: worker.lese: unknown key; did you mean lease?",
        "config.yaml:5: worker.processes: expected a whole number from 1 to 1024, or null, not 'many'",
        "config.yaml:7: worker.backoff.jitter: expected true or false, not 'maybe'",
        "config.yaml:8: worker.tasks: expected a list, not 'foo'",
        "config.yaml:9: wroker: unknown key; did you mean worker?",
        "config.yaml:10: priority: unknown key; did you mean produce.priority?",
        "config.yaml:12: images.limits.source_bytes: expected a size of at least 1 B, such as 256 MiB, not '12 parsecs'",
        "config.yaml:14: produce.priority: expected high, default or low, not 'hgih'; did you mean high?",
        "config.yaml:15: log: expected a section of keys",
        "environment STREAMQ_QUEUE: queue.name: expected 1 to 64 letters, digits, dots, hyphens and underscores, not 'a b'",
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("queue: {name: a}\nqueue: {name: b}\n", "config.yaml:2: queue: the key stands twice, first in line 1"),
        ("images: {presets: {a: {w: 1,\n w: 2}}}", "config.yaml:2: images.presets.a.w: the key stands twice, first in line 1"),
        ("images: {presets: {'a b': {}}}", "config.yaml:1: images.presets.a b: expected a name with a section of keys, such as "),
        ("queue:\n  name: [\n", "config.yaml:3: expected YAML: "),
        ("\n- queue\n", "config.yaml:2: expected a section of keys"),
        ("? [a]\n: 3\n", "config.yaml:1: expected the name of a key"),
        ("worker: {tasks: &x [*x]}", "config.yaml:1: worker.tasks: expected YAML: found unconstructable recursive node"),
        ("queue: {name: !python/object a}", "config.yaml:1: queue.name: expected YAML: could not determine a constructor"),
        ("queue: {name: 2027-02-30}", "config.yaml:1: queue.name: expected YAML: day is out of range"),
        (
            "worker: {backoff: {base: 1h}}",
            "config.yaml:1: worker.backoff.base: expected a cap of at least the base, not 10m and 1h",
        ),
        ('queue: {name: "images\\n"}', "config.yaml:1: queue.name: expected 1 to 64 letters"),
        ("queue: {max_size: true}", "config.yaml:1: queue.max_size: expected a whole number of at least 0, not true"),
        ("images: {roots: []}", "config.yaml:1: images.roots: expected a list that is not empty, not []"),
    ],
)
def test_a_file_of_wrong_form_is_refused(project: Path, content: str, fault: str) -> None:
    """Keys that stand twice, broken YAML, tags and impossible values are faults with a line, never a traceback."""
    [found] = faults(project, content)
    assert found.startswith(fault)


def test_a_file_that_is_not_text_is_refused(project: Path) -> None:
    """Bytes that are no UTF-8 are a fault of the file."""
    (project / "config.yaml").write_bytes(b"queue: \xff\xfe")
    with pytest.raises(ConfigError, match=r"config\.yaml: expected text in UTF-8"):
        load(cwd=project, environ={})


def test_another_programs_file_is_recognised(project: Path) -> None:
    """A config.yaml of which no section is known is likely not ours, and the hint says how to go on."""
    write(project, "homeassistant: {}\n")
    with pytest.raises(ConfigError) as refused:
        load(cwd=project, environ={})
    assert "is not streamq's" in (refused.value.hint or "")


def test_sections_that_are_empty_set_nothing(project: Path) -> None:
    """A section whose keys are all commented out is no fault."""
    write(project, "worker:\n  # lease: 5s\nserver:\n")
    assert load(cwd=project, environ={}).origins == {}


def test_the_environment_is_put_into_a_file(project: Path) -> None:
    """`${NAME}` is replaced, in lists too, also where a number is wanted; `$${NAME}` stays."""
    write(project, 'server: {url: "redis://:${PW}@h"}\nworker: {processes: "${N}", tasks: ["${M}", "$${M}"]}\n')
    settings = load(cwd=project, environ={"PW": "geheim", "N": "3", "M": "m"})
    assert (settings.server.url, settings.worker.processes) == ("redis://:geheim@h", 3)
    assert settings.worker.tasks == ["m", "${M}"]


def test_a_missing_variable_is_a_fault_with_its_line(project: Path) -> None:
    """Better a refusal than an empty password."""
    assert faults(project, 'queue: {}\nserver: {url: "redis://:${PW}@h"}') == [
        "config.yaml:2: server.url: the environment has no PW",
    ]


def test_a_secret_is_not_in_the_fault(project: Path) -> None:
    """What came from `${NAME}` or stands in a URL is never printed."""
    assert "geheim" not in faults(project, "worker: {lease: '${PW}'}", PW="geheim")[0]
    assert "geheim" not in faults(project, "server: {url: '1redis://u:geheim@h'}")[0]


def test_the_project_is_found_upward(project: Path) -> None:
    """Commands started anywhere below a config.yaml meet; paths of the file are relative to its folder."""
    write(project, "server: {data: data}\nimages: {roots: [photos], output: out}\n")
    below = project / "a" / "b"
    below.mkdir(parents=True)
    settings = load(cwd=below, environ={})
    assert settings.project == project
    assert settings.file == project / "config.yaml"
    assert (settings.data_dir, settings.image_roots, settings.output_root) == (
        project / "data",
        [project / "photos"],
        project / "out",
    )
    assert settings.catalogue_url == f"sqlite:///{project / 'data' / 'catalogue.db'}"


def test_paths_of_options_and_environment_are_relative_to_the_working_directory(project: Path) -> None:
    """What is typed in a folder means that folder."""
    write(project, "server: {data: data}\n")
    below = project / "below"
    below.mkdir()
    settings = load(cwd=below, environ={"STREAMQ_IMAGES__ROOTS": "photos"}, overrides={"server.data": "mine"})
    assert (settings.project, settings.data_dir, settings.image_roots) == (project, below / "mine", [below / "photos"])


def test_without_a_file_the_folder_of_the_data_directory_is_the_project(project: Path) -> None:
    """A server that was started above is found again from below."""
    (project / ".streamq").mkdir()
    (project / "below").mkdir()
    settings = load(cwd=project / "below", environ={})
    assert (settings.project, settings.data_dir) == (project, project / ".streamq")


def test_a_named_file_wins_and_has_to_exist(project: Path) -> None:
    """`--config` goes before `STREAMQ_CONFIG` before the search; its folder is the project."""
    write(project, "queue: {name: found}\n")
    (project / "sub").mkdir()
    for name in ("one", "two"):
        (project / "sub" / f"{name}.yaml").write_text(f"queue: {{name: {name}}}\n", encoding="utf-8")
    environ = {"STREAMQ_CONFIG": "sub/one.yaml"}
    assert load(cwd=project, environ=environ).queue.name == "one"
    settings = load("sub/two.yaml", cwd=project, environ=environ)
    assert (settings.queue.name, settings.project) == ("two", project / "sub")
    with pytest.raises(UsageError, match=r"none\.yaml: no such configuration file"):
        load("none.yaml", cwd=project, environ={})


def test_a_strangers_file_further_up_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could name modules that a worker would import; in the working directory itself it is the user's choice."""
    write(project, "queue: {name: trap}\n")
    below = project / "below"
    below.mkdir()
    ids = {project / "config.yaml": 4242}
    plain = Path.stat

    class Owned:
        def __init__(self, uid: int) -> None:
            self.st_uid = uid

    monkeypatch.setattr(Path, "is_file", lambda path: path in ids)
    monkeypatch.setattr(Path, "stat", lambda path, **how: Owned(ids[path]) if path in ids else plain(path, **how))
    with pytest.raises(UsageError, match="belongs to another user"):
        load(cwd=below, environ={})


@given(st.text(min_size=1).filter(lambda word: "@" not in word))
def test_no_password_is_shown(password: str) -> None:
    """Whatever a password is made of, `mask` hides it, in the user part and in a parameter."""
    hidden = f"<<{password}>>"
    assert hidden not in mask(f"redis://user:{hidden}@host:6379/0")
    assert hidden not in mask(f"postgresql+psycopg://:{hidden}@host/db?x=1")
    assert hidden not in mask(f"redis:/us/er:{hidden}@host")
    assert (word := "".join(hidden.split())) not in mask(f"user:{word}@host:6379")
    if not set(password) & {"&", "#"}:
        assert hidden not in mask(f"redis://host?pass%77ord={hidden}") + mask(f"postgresql://host/db?sslpassword={hidden}")
        assert hidden not in mask(f"unix:///s.sock?db=1&password={hidden}")


@pytest.mark.parametrize(
    "address",
    [
        "redis://host:geheim",
        "redis://user:x@host:geheim/0",
        "rediss://[::1]:geheim",
        "redis://host:6379/geheim",
        "redis://host:6379?geheim",
        "redis://host:6379?db=1&geheim",
        "redis://host:6379?auth=geheim",
        "redis://host:6379?pasword=geheim",
        "redis://host:6379/0?db=geheim",
        "redis://host:6379?db=1&foo=geheim",
        "rediss://host?socket_timeout=geheim&ssl_ca_certs=a.pem",
        "unix:///run/s.sock?foo=geheim&db=2",
        "postgresql://host/db?sslmode=require&pasword=geheim",
        "redis://host:6379/0#geheim",
        "unix:///run/s.sock#geheim",
    ],
)
def test_a_password_in_the_wrong_place_is_hidden(address: str) -> None:
    """Where a port, a database or a parameter should stand, and there is none."""
    assert mask(address) == address.replace("geheim", "***").replace(":x@", ":***@")


def test_a_parameter_with_an_at_in_it_is_hidden() -> None:
    """What stands behind the @ could be a host, or the end of a password."""
    assert mask("redis://host:6379?pasword=ge@heim") == "redis://***"
    assert "heim" not in mask("redis://host?ssl_ca_certs=a.pem?pasword=geheim") + mask("redis://host?ssl_ca_certs=a;b=geheim")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("geheim", "a text without a scheme"),
        ("geheim@host:6379", "a text without a scheme"),
        ("://geheim", "a text without a scheme"),
        (" redis://:geheim@host", "what begins with ' redis://'"),
    ],
)
def test_what_is_no_address_is_not_shown(given: str, shown: str) -> None:
    """All of it may be a secret."""
    with pytest.raises(ConfigError) as refused:
        load(None, {"server.url": given}, {})
    assert refused.value.faults == [f"option: server.url: expected a URL, such as redis://localhost:6379/0, or null, not {shown}"]


def test_a_password_in_the_middle_of_a_text_is_hidden() -> None:
    """Others than streamq write errors and tracebacks; what stands around the address stays."""
    text = "File 'a.py', line 2\n  connect('redis://u:geheim@h:1/0') and mail a@b; <postgresql://x:geheim@h/db?port=1>"
    shown = "File 'a.py', line 2\n  connect('redis://u:***@h:1/0') and mail a@b; <postgresql://x:***@h/db?port=1>"
    assert scrub(text) == shown


def test_settings_are_shown_without_passwords() -> None:
    """Such as in a traceback with the values of its variables."""
    given = {"server.url": "redis://u:geheim@h", "catalogue.url": "postgresql://u:geheim@h/db", "produce.sources": ["x"]}
    assert "geheim" not in repr(load(None, given, {}))


def test_what_is_no_password_is_shown() -> None:
    """The rest of an address stays readable."""
    assert mask("redis://geheim@host") == "redis://***@host"
    assert mask("postgresql://user@host/db") == "postgresql://user@host/db"
    assert mask("host:6379") == "host:6379"
    assert mask("sqlite:////var/lib/a.db") == "sqlite:////var/lib/a.db"
    assert mask("redis://user:geheim@host:6379/0?db=1") == "redis://user:***@host:6379/0?db=1"
    assert mask("redis://host:6379/0") == "redis://host:6379/0"
    assert mask("rediss://[::1]:6379/0?ssl_ca_certs=a.pem") == "rediss://[::1]:6379/0?ssl_ca_certs=a.pem"
    for shown in (
        "redis://host/1?db=2&socket_timeout=0.5&health_check_interval=30&protocol=3&decode_responses=True",
        "rediss://host?ssl_cert_reqs=none&ssl_certfile=/etc/a.pem&ssl_keyfile=/etc/a.key",
        "postgresql://user@/db?host=/run/pg&sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=3",
    ):
        assert mask(shown) == shown
    assert scrub("cannot reach redis://host?db=1: refused") == "cannot reach redis://host?db=1: refused"
    assert mask("https://host/page?n=geheim") == "https://host/page?n=geheim"
    assert mask("redis://:geheim@host:6379") == "redis://:***@host:6379"
    assert scrub("redis://host:6379: refused (redis://host:6379/0), redis://host.") == (
        "redis://host:6379: refused (redis://host:6379/0), redis://host."
    )
    assert mask("unix:///run/s.sock?password=geheim&db=2") == "unix:///run/s.sock?password=***&db=2"


def test_the_documented_file_is_the_schema() -> None:
    """`config.yaml` at the top of the project is made from the schema, to the letter."""
    assert (ROOT / "config.yaml").read_text(encoding="utf-8") == text.document()


def test_the_documented_file_sets_every_key_to_its_default(project: Path) -> None:
    """Read as a user's file it is right, names every key, and changes nothing; above each key stands a comment."""
    write(project, text.document())
    settings = load(cwd=project, environ={})
    assert set(settings.origins) | {"images.presets"} == set(fields())
    for key, field in fields().items():
        assert field.default == text.current(settings, key), key
        assert field.description, key


def test_every_key_says_what_it_expects() -> None:
    """No key leaves the user with a bare refusal."""
    for field in fields().values():
        with pytest.raises(ValueError, match="expected "):
            convert(field, Raw(field.key, object(), ""))
        assert len(expected(field)) > 3


def test_the_schema_accepts_durations_and_sizes_as_text() -> None:
    """Editors must not mark `30s` as wrong."""
    made = text.schema()["$defs"]
    assert made["Worker"]["properties"]["lease"]["type"] == ["number", "string"]
    assert made["Limits"]["properties"]["source_bytes"]["type"] == ["integer", "string"]
    assert made["Document"]["additionalProperties"] is False


def test_settings_cannot_be_changed(project: Path) -> None:
    """The configuration in force is one for the whole process."""
    settings: Settings = load(cwd=project, environ={})
    with pytest.raises(AttributeError):
        settings.worker.lease = 1  # type: ignore[misc]


def test_yaml_is_imported_only_for_a_file(project: Path) -> None:
    """A start without a file does not pay for PyYAML."""
    program = "import sys; from streamq.config import load; load(environ={}); print('yaml' in sys.modules)"
    for content, loaded in ((None, "False"), ("queue: {}\n", "True")):
        if content:
            write(project, content)
        ran = subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == loaded
