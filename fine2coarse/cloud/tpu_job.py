"""Cloud TPU machines by way of gcloud: the commands, and the order in which to run them.

Every command is a list of arguments. What a remote shell reads (`--command`) is put together by
shlex alone, so that no name, path or flag can become a command.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Sequence

from fine2coarse import keras_settings
from fine2coarse.errors import UsageError

HOME = "fine2coarse"  # folder on the TPU VM
ARCHIVE = "fine2coarse.tar.gz"
# Extras of this package, by backend. Beside JAX, TensorFlow reads buckets and prepared data.
EXTRAS = {keras_settings.TENSORFLOW: "tpu", keras_settings.JAX: "jax-tpu,cpu"}
# Largest slice of each family that one host drives, in the family's own count.
_ONE_HOST = {"v2": 8, "v3": 8, "v4": 8, "v5p": 8, "v5litepod": 8, "v6e": 8}


@dataclasses.dataclass(frozen=True)
class CloudJob:
    """What to run on which machines.

    Attributes:
      name: of the machines, which are called NAME-0, NAME-1, …
      zone: of them.
      accelerator_type: a slice of one host, e.g. 'v5litepod-8'.
      runtime_version: of the TPU software.
      program: path and arguments of one of our programs.
      num_nodes: machines; each does its share of a study's runs.
      project: empty for gcloud's own default.
      spot: cheaper machines that may be taken away at any time.
      queued: ask by a queued resource and wait until it is granted.
      max_restarts: of each machine, after it was taken away or could not be had.
      workdir: the program's; remote where it begins with gs://.
      results: local folder to fetch the results into; empty for none.
      python: version of Python on the machines.
      backend: 'tensorflow' or 'jax', which the program computes on.
      poll_s: seconds between two looks at log and state.
      max_wait_s: how long to wait for a machine to be ready.
    """

    name: str
    zone: str
    accelerator_type: str
    runtime_version: str
    program: tuple[str, ...]
    workdir: str
    num_nodes: int = 1
    project: str = ""
    spot: bool = False
    queued: bool = False
    max_restarts: int = 10
    results: str = ""
    python: str = "3.11"
    backend: str = keras_settings.TENSORFLOW
    poll_s: float = 15.0
    max_wait_s: float = 24 * 3600.0

    def __post_init__(self) -> None:
        """Checks what gcloud would find out late, or what would lose results."""
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?", self.name):
            raise UsageError(
                f"--name={self.name!r}: expected small letters, digits and -, beginning with a "
                "letter, at most 52"
            )
        if self.backend not in keras_settings.BACKENDS:
            raise UsageError(f"--backend is one of {keras_settings.BACKENDS}, got {self.backend!r}")
        own = [argument for argument in self.program if argument.startswith("--backend")]
        if own and own != [f"--backend={self.backend}"]:
            raise UsageError(
                f"the program has {own[-1]} and cloud_tpu --backend={self.backend}, which says "
                "what is installed: give it once, before --"
            )
        for what, value in (("zone", self.zone), ("project", self.project)):
            if value and not re.fullmatch(r"[a-z0-9:.-]+", value):
                raise UsageError(f"--{what}={value!r} is no name of a {what}")
        family, _, count = self.accelerator_type.partition("-")
        if family not in _ONE_HOST or not count.isdigit():
            raise UsageError(
                f"--accelerator_type={self.accelerator_type!r}: expected one of "
                f"{', '.join(f'{f}-{n}' for f, n in _ONE_HOST.items())} or a smaller slice"
            )
        if int(count) > _ONE_HOST[family]:
            raise UsageError(
                f"--accelerator_type={self.accelerator_type} spans several hosts, and a run trains "
                f"on one. Take {family}-{_ONE_HOST[family]} and more --num_nodes: each does its "
                "share of the runs"
            )
        if self.is_remote:
            return
        if self.spot or self.num_nodes > 1:
            raise UsageError(
                "--spot and several --num_nodes need a --workdir in a bucket (gs://…), for a "
                f"machine's own disk goes with it; got {self.workdir!r}"
            )
        if self.results and not re.fullmatch(r"[\w./-]+", self.workdir):
            raise UsageError(
                f"--workdir={self.workdir!r} cannot be fetched: expected letters, digits, _ . / -"
            )

    @property
    def is_remote(self) -> bool:
        """Whether the program writes into a bucket."""
        return self.workdir.startswith("gs://")

    def nodes(self) -> list[Node]:
        """The machines."""
        return [Node(self, index) for index in range(self.num_nodes)]


@dataclasses.dataclass(frozen=True)
class Node:
    """One machine, and the commands for it."""

    job: CloudJob
    index: int

    @property
    def name(self) -> str:
        """Of the machine, and of its queued resource."""
        return f"{self.job.name}-{self.index}"

    def create(self) -> list[str]:
        """Creates it, or asks for it."""
        job = self.job
        kind = ["--spot"] if job.spot else []
        if job.queued:
            return self._queued(
                "create",
                f"--node-id={self.name}",
                f"--accelerator-type={job.accelerator_type}",
                f"--runtime-version={job.runtime_version}",
                *kind,
            )
        return self._vm(
            "create",
            f"--accelerator-type={job.accelerator_type}",
            f"--version={job.runtime_version}",
            *kind,
        )

    def state(self) -> list[str]:
        """Prints its state in one word."""
        if self.job.queued:
            return self._queued("describe", "--format=value(state.state)")
        return self._vm("describe", "--format=value(state)")

    @property
    def ready_state(self) -> str:
        """The word for a machine that can be used."""
        return "ACTIVE" if self.job.queued else "READY"

    def delete(self) -> list[str]:
        """Deletes it, and the request for it."""
        if self.job.queued:
            return self._queued("delete", "--force")
        return self._vm("delete")

    def copy(self, archive: str) -> list[str]:
        """Copies the project's archive there."""
        return [
            *self._base("tpu-vm", "scp"), archive, f"{self.name}:{ARCHIVE}", "--worker=all",
            *self._where(),
        ]  # fmt: skip

    def ssh(self, command: str) -> list[str]:
        """Runs a shell command on every host of it."""
        return self._vm("ssh", "--worker=all", f"--command={command}")

    def install(self) -> list[str]:
        """Unpacks the archive and installs it with `EXTRAS` in a virtual environment."""
        pip = [".venv/bin/python", "-m", "pip", "install", "--quiet"]
        python = f"--python={self.job.python}"
        return self.ssh(
            _in_turn(
                ["rm", "-rf", HOME],
                ["mkdir", HOME],
                ["tar", "-xzf", ARCHIVE, "-C", HOME],
                ["cd", HOME],
                ["python3", "-m", "pip", "install", "--quiet", "--user", "uv"],
                [
                    "python3",
                    "-m",
                    "uv",
                    "venv",
                    "--quiet",
                    "--seed",
                    python,
                    ".venv",
                ],
                [*pip, f".[{EXTRAS[self.job.backend]}]"],
            )
        )

    def start(self) -> list[str]:
        """Starts the program, which goes on when the connection ends."""
        program = shlex.join([".venv/bin/python", *self.program()])
        script = f"{program}; echo $? > exit_code.part; mv exit_code.part exit_code"
        detached = f"setsid nohup bash -c {shlex.quote(script)} > run.log 2>&1 < /dev/null &"
        first = _in_turn(["cd", HOME], ["rm", "-f", "exit_code", "run.log"])
        return self.ssh(f"{first} && {{ {detached} }}")

    def program(self) -> list[str]:
        """The program's own arguments: on this machine's TPU, and its share of a study's runs."""
        arguments = list(self.job.program)
        if not any(argument.startswith("--tpu") for argument in arguments):
            arguments += ["--strategy=tpu", "--tpu=local"]
        flag = f"--backend={self.job.backend}"
        if self.job.backend != keras_settings.TENSORFLOW and flag not in arguments:
            arguments += [flag]
        if self.job.num_nodes > 1:
            arguments += [f"--shard={self.index}/{self.job.num_nodes}"]
        return arguments

    def look(self, num_lines: int) -> list[str]:
        """Prints the log from a line on, and then `exit_code=`, with a number once it has ended."""
        tail = ["tail", f"--lines=+{num_lines + 1}", "run.log"]
        shown = _in_turn(["cd", HOME], ["touch", "run.log"], tail)
        code = "printf '\\nexit_code=%s\\n' \"$(cat exit_code 2>/dev/null)\""
        return self._vm("ssh", "--worker=0", f"--command={shown} && {code}")

    def fetch(self) -> list[str]:
        """Fetches the results."""
        workdir, results = self.job.workdir, self.job.results
        if self.job.is_remote:
            return ["gcloud", "storage", "rsync", "--recursive", workdir, results]
        source = workdir if workdir.startswith("/") else f"{HOME}/{workdir}"
        return [
            *self._base("tpu-vm", "scp"), "--recurse", f"{self.name}:{source}", results,
            *self._where(),
        ]  # fmt: skip

    def _base(self, *words: str) -> list[str]:
        return ["gcloud", "compute", "tpus", *words]

    def _where(self) -> list[str]:
        project = [f"--project={self.job.project}"] if self.job.project else []
        return [f"--zone={self.job.zone}", *project, "--quiet"]

    def _vm(self, verb: str, *arguments: str) -> list[str]:
        return [*self._base("tpu-vm", verb), self.name, *arguments, *self._where()]

    def _queued(self, verb: str, *arguments: str) -> list[str]:
        return [*self._base("queued-resources", verb), self.name, *arguments, *self._where()]


def _in_turn(*commands: Sequence[str]) -> str:
    """Several commands for a shell, each only if the one before succeeded."""
    return " && ".join(map(shlex.join, commands))


def archive_command(path: str) -> list[str]:
    """Packs the project as committed."""
    return ["git", "archive", "--format=tar.gz", f"--output={path}", "HEAD"]


def describe(job: CloudJob, archive: str) -> Iterator[str]:
    """The commands in their order, quoted for a shell, with what happens between them."""
    yield shlex.join(archive_command(archive))
    for node in job.nodes():
        yield f"# {node.name}"
        yield shlex.join(node.create())
        yield f"# until it prints {node.ready_state}:"
        yield shlex.join(node.state())
        yield shlex.join(node.copy(archive))
        yield shlex.join(node.install())
        yield shlex.join(node.start())
        yield f"# every {job.poll_s:g} s, until exit_code has a number:"
        yield shlex.join(node.look(0))
    again = f"at most {job.max_restarts} times" if job.max_restarts else "never"
    yield f"# a machine that is taken away is deleted and all of its steps are done again, {again}"
    if job.results:
        yield "# the results"
        for node in job.nodes()[:1]:
            yield shlex.join(node.fetch())
    yield "# in the end, also after a failure or Ctrl-C:"
    for node in job.nodes():
        yield shlex.join(node.delete())
