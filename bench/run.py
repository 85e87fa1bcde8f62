"""Compare Wherry with docker, podman, runc and crun on this machine, and write down what came out.

    bench/run.py [--rounds N] [--pulls N] [--only PARTS] [--no-readme]

Everything is repeated in rounds: in each, every subject does its turn once, in an order that changes, so that a slow
minute of the machine is a slow minute for all.  The table gives medians and ratios; the samples are in
bench/results/.  Engines keep their state in one temporary directory; nothing of the host's own docker or podman is
touched.  Needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import environments
import layer
import lives
import measure
import moving
import networks
import newer_docker
import served
import subjects
import table
from measure import Series, fresh_disk, note
from support import images
from support.registry import Registry

HERE = Path(__file__).parent
OUTPUT = 256  # MB; a log of twice as much has to go to the disk


def machine() -> dict[str, Any]:
    """What somebody needs to know to read the numbers."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    memory = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    kinds = {line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    groups = "hybrid" if {"cgroup", "cgroup2"} <= kinds else "v2" if "cgroup2" in kinds else "v1"
    release = Path("/etc/os-release").read_text()
    name = next(
        (line.partition("=")[2].strip('"') for line in release.splitlines() if line.startswith("PRETTY_NAME")), ""
    )
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    storage = max((m for m in mounts if "/var/tmp".startswith(m[1])), key=lambda m: len(m[1]))[2]
    return {
        "system": name, "kernel": platform.release(), "machine": platform.machine(), "processor": cpu,
        "processors": os.cpu_count(), "memory_gb": round(memory / 2**20), "cgroups": groups, "storage": storage,
        "python": subjects.output(subjects.ROOT / "wherry", "version", "-f", "{{.Client.PythonVersion}}").strip(),
    }  # fmt: skip


def open_all(kinds: list[type[subjects.Subject]], directory: Path, absent: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in kinds:
        subject = kind(directory)
        try:
            subject.open()
            found[subject.name] = subject
        except (measure.Failed, OSError) as error:
            absent[subject.name] = str(error)
            note(f"  without {subject.name}: {error}")
            subject.close()
    return found


def bench_run(engines: dict[str, Any], archive: Path, rounds: int) -> dict[str, Any]:
    series = Series("run --rm --network none IMAGE true")
    turns: dict[str, Callable[[], float]] = {}
    for name, engine in engines.items():
        try:
            engine.load(archive)
        except measure.Failed as error:
            series.failures[name] = str(error)
            note(f"  {name}: {error}")
            continue
        turns[name] = lambda engine=engine: engine.time(engine.run(subjects.IMAGE, "true"))
    series.collect(turns, rounds)
    return series.result()


def bench_network(
    directory: Path, archive: Path, rounds: int, transfers: int, absent: dict[str, str], versions: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Starts on the default bridge, without a published port and with one; then how fast bytes come through."""
    starts = {"bridge": Series("run --rm IMAGE true on the default bridge"),
              "published": Series("the same with -p 8080:80")}  # fmt: skip
    streams = {"from_outside": Series("iperf3 from another host to a published port", max),
               "between": Series("iperf3 between two containers of one bridge", max)}  # fmt: skip
    iperf = networks.iperf().docker_archive(directory / "iperf3.tar", networks.IMAGE)
    with networks.grounds(directory, archive, iperf) as grounds:
        versions |= grounds.versions
        for name, options in (("bridge", ()), ("published", ("-p", "8080:80"))):
            note(f"  {starts[name].title}")
            starts[name].collect(
                {one.name: lambda one=one, options=options: one.run(*options) for one in grounds.all}, rounds
            )
        with grounds.servers() as ready:
            for name in streams:
                note(f"  {streams[name].title}")
                streams[name].collect(
                    {one.name: lambda one=one, name=name: getattr(one, name)() for one in ready}, transfers, warm_up=1
                )
        absent |= grounds.absent | absent
    return {name: series.result() for name, series in (starts | streams).items()}


def bench_exec(engines: dict[str, Any], archive: Path, rounds: int) -> dict[str, Any]:
    series = Series("exec CONTAINER true")
    turns: dict[str, Callable[[], float]] = {}
    sleep = ("run", "-d", "--name", "sleeper", "--network", "none", subjects.IMAGE, "sleep", "9999")
    for name, engine in engines.items():
        try:
            engine.load(archive)
            engine.time([*engine.base, *sleep])
        except measure.Failed as error:
            series.failures[name] = str(error)
            continue
        turns[name] = lambda engine=engine: engine.time([*engine.base, "exec", "sleeper", "true"])
    series.collect(turns, rounds)
    for name in turns:
        engines[name].time([*engines[name].base, "rm", "-f", "sleeper"])
    return series.result()


def bench_lives(engines: dict[str, Any], archive: Path, rounds: int, slow: int) -> dict[str, Any]:
    series = {
        "detached": (Series("run -d"), lives.Lives.run_detached, rounds),
        "remove": (Series("rm -f of a running container"), lives.Lives.remove_running, rounds),
        "list": (Series(f"ps -a, {lives.LISTED} containers"), lives.Lives.list_all, rounds),
        "many": (Series(f"{lives.MANY} x run -d at once"), lives.Lives.begin_many, slow),
        "supervisor": (Series("supervisor, each container"), lives.Lives.supervisor_memory, 1),
    }
    known: dict[str, lives.Lives] = {}
    for name, engine in engines.items():
        try:
            engine.load(archive)
            known[name] = lives.Lives(engine)
        except measure.Failed as error:
            note(f"  without {name}: {error}")
    for key, (one, which, times) in series.items():
        with contextlib.ExitStack() as stack:
            if key == "list":
                for live in known.values():
                    stack.enter_context(live.listed())
            one.collect(lives.turns(known, which), times, warm_up=0 if times == 1 else 1)
    return {key: one.result() for key, (one, _which, _times) in series.items()}


def bench_api(docker: Any, directory: Path, archive: Path, rounds: int, absent: dict[str, str]) -> dict[str, Any]:
    """Docker's client in front of its daemon and of `wherry serve`."""
    found = open_all([served.Served], directory, absent) | ({"docker": docker} if docker else {})
    results = {}
    try:
        for engine in found.values():
            engine.load(archive)
        for part, (title, which) in served.PARTS.items():
            note(f"  {title}")
            series = Series(title)
            with contextlib.ExitStack() as stack:
                for engine in found.values():
                    stack.enter_context(served.measured(engine, part))
                series.collect(served.turns(found, which), 1 if part == "api_idle" else rounds)
            results[part] = series.result()
    finally:
        if "wherry serve" in found:
            found["wherry serve"].close()
    return results


def bench_output(engines: dict[str, Any], archive: Path, rounds: int) -> dict[str, Any]:
    """Lines of 100 bytes, logged as json-file and read by the client."""
    series, memory = Series(f"{OUTPUT} MB of output, to the log and to the client"), Series("peak memory of that, MB")
    log = ("--log-driver", "json-file", subjects.IMAGE, "sh", "-c", f"yes {'x' * 99} | head -c {OUTPUT}m")
    turns: dict[str, Callable[[], float]] = {}
    peaks: dict[str, Callable[[], float]] = {}
    for name, engine in engines.items():
        try:
            engine.load(archive)
        except measure.Failed as error:
            series.failures[name] = str(error)
            continue
        turns[name] = lambda engine=engine: engine.time(engine.run(*log))
        peaks[name] = lambda engine=engine: engine.peak(engine.run(*log))
    series.collect(turns, rounds, warm_up=1)
    memory.collect(peaks, 1, warm_up=0)
    return {"output": series.result(), "output_memory": memory.result()}


def bench_runtime(runtimes: dict[str, Any], bundle: Path, rounds: int) -> dict[str, Any]:
    series = Series("the runtime alone, one bundle with limits")
    series.collect({name: lambda one=one: one.run_bundle(bundle) for name, one in runtimes.items()}, rounds)
    return series.result()


def bench_pull(engines: dict[str, Any], directory: Path, rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    note("  making the layer (once per machine)")
    image = layer.image()
    series, memory = Series("pull of 350 MB in 10,000 files"), Series("peak memory of pull, MB")
    with Registry() as registry:
        reference = registry.push(image, "bench/site-packages:1")

        def pull(kind: type[subjects.Engine], peaks: bool) -> float:
            """Seconds; or the peak of the client and all below it, or of the daemon that works for it, in MB."""
            with fresh_disk(directory) as disk:
                engine = kind(disk)
                found: list[measure.PeakMemory] = []

                def watch(pid: int) -> measure.PeakMemory:
                    found.append(measure.PeakMemory(engine.memory_pid or pid))
                    return found[0]

                try:
                    engine.open()
                    os.sync()
                    taken = measure.timed(
                        engine.pull(reference), subjects.ENV, log=engine.log, watch=watch if peaks else None
                    )
                finally:
                    engine.close()
            return found[0].peak / 2**20 if peaks else taken

        kinds = {name: type(engine) for name, engine in engines.items()}
        series.collect({name: lambda kind=kind: pull(kind, False) for name, kind in kinds.items()}, rounds, warm_up=1)
        memory.collect({name: lambda kind=kind: pull(kind, True) for name, kind in kinds.items()}, 1, warm_up=0)
    return series.result(), memory.result()


def bench_ml(engines: dict[str, Any], directory: Path, rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    note("  making the image out of wheels (once per machine)")
    image = moving.machine_learning()
    title = f"pull and start of scikit-learn and pandas, {len(image.manifest['layers'])} layers"
    series, memory = Series(title), Series("peak memory of that, MB")
    with Registry() as registry:
        reference = registry.push(image, "bench/ml:1")

        def turn(kind: type[subjects.Engine], peaks: bool) -> float:
            with fresh_disk(directory) as disk:
                return moving.pull_and_run(kind, disk, reference, peaks=peaks)

        # podman must be found a way of calling it first, and keeps the disk busy when it is not the right one
        kinds = {name: type(engine) for name, engine in engines.items() if name != "podman"}
        series.collect({name: lambda kind=kind: turn(kind, False) for name, kind in kinds.items()}, rounds, warm_up=1)
        memory.collect({name: lambda kind=kind: turn(kind, True) for name, kind in kinds.items()}, 1, warm_up=0)
    return series.result(), memory.result()


def bench_import(directory: Path, rounds: int) -> dict[str, Any]:
    """The erofs snapshotter is the subject, overlay what it is compared with."""
    series = Series("first import of scikit-learn in a container, from the disk")
    with Registry() as registry, fresh_disk(directory) as disk, contextlib.ExitStack() as stack:
        reference = registry.push(moving.machine_learning(), "bench/ml:1")
        turns: dict[str, Callable[[], float]] = {}
        for name, snapshotter in (("wherry", "erofs"), ("wherry, unpacked", "overlay")):
            try:
                turns[name] = one = moving.Imports(disk / snapshotter, snapshotter, reference)
            except measure.Failed as error:
                series.failures[name] = str(error)
                continue
            stack.callback(one.close)
        series.collect(turns, rounds, warm_up=1)
    return series.result()


def bench_disk(engines: dict[str, Any], directory: Path) -> dict[str, Any]:
    series = Series("disk for a second image, all but one package the same")
    first, second = moving.machine_learning(), moving.machine_learning("scikit_learn")
    with Registry() as registry:
        names = registry.push(first, "bench/ml:1"), registry.push(second, "bench/ml:2")

        def turn(kind: type[subjects.Engine]) -> float:
            with fresh_disk(directory) as disk:
                return moving.second_image(kind, disk, *names)

        kinds = {name: type(engine) for name, engine in engines.items()}
        turns: dict[str, Callable[[], float]] = {name: lambda kind=kind: turn(kind) for name, kind in kinds.items()}
        turns["its own layer, packed and unpacked"] = lambda: moving.layers_apart(first, second)
        series.collect(turns, 1, warm_up=0)
    return series.result()


def bench_push(engines: dict[str, Any], directory: Path, rounds: int) -> dict[str, Any]:
    series = Series("push after one layer of twenty changed")
    versions = [moving.twenty(directory / f"twenty{number}", number) for number in range(rounds + 1)]
    turns = {name: moving.Changed(engine, versions, directory) for name, engine in engines.items()}
    try:
        series.collect(dict(turns), rounds, warm_up=1)  # the first goes whole
    finally:
        for one in turns.values():
            one.close()
    return series.result()


def bench_env(engines: dict[str, Any], directory: Path, rounds: int) -> dict[str, dict[str, Any]]:
    """Builds of an environment, and what a push of one changed package sends."""
    note("  building the base and the first images (downloads the wheels once per machine)")
    series = {
        "env_first": Series("an environment of numpy, scipy, scikit-learn and pandas built"),
        "env_changed": Series("the same after one package changed"),
        "env_same": Series("the same when nothing changed"),
    }
    pushed = Series("pushed after one package changed, MB")
    with environments.opened(engines, directory) as (builders, project):
        for name, builder in builders.items():
            note(f"  {name}: {builder.pushed():.1f} MB pushed at first")
        note("  first builds")
        series["env_first"].collect({name: one.first for name, one in builders.items()}, rounds, warm_up=0)
        for _ in range(rounds):
            project.change()
            for key, one in (("env_changed", "build"), ("env_same", "build")):
                series[key].collect({name: getattr(b, one) for name, b in builders.items()}, 1, warm_up=0)
            pushed.collect({name: one.pushed for name, one in builders.items()}, 1, warm_up=0)
    return {name: one.result() for name, one in (series | {"env_pushed": pushed}).items()}


def extract(image: images.Built, target: Path) -> None:
    import gzip
    import io
    import tarfile

    for descriptor in image.manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(image.blob(descriptor["digest"])))) as tar:
            tar.extractall(target, filter="fully_trusted")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--pulls", type=int, default=5)
    parser.add_argument("--only", default=",".join(table.PARTS), metavar="PARTS", help="some of %(default)s")
    parser.add_argument("--no-readme", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        note("bench: needs root")
        return 1
    parts = options.only.split(",")
    absent: dict[str, str] = {}
    versions: dict[str, str] = {}
    document: dict[str, Any] = {"date": datetime.date.today().isoformat(), "machine": machine(), "results": {}}
    before = subjects.cgroup_directories()
    directory = Path(tempfile.mkdtemp(prefix="wb-", dir="/var/tmp"))
    engines: dict[str, Any] = {}
    runtimes: dict[str, Any] = {}
    subjects.ENV["PATH"] = os.pathsep.join([*newer_docker.directories(), subjects.ENV["PATH"]])
    try:
        note("starting the engines")
        image = images.busybox()
        archive = image.docker_archive(directory / "busybox.tar", subjects.IMAGE)
        kinds: list[type[subjects.Subject]] = [subjects.Wherry, subjects.Docker, subjects.Podman]
        if {"run", "exec", "lives", "api", "output", "pull", "ml", "disk", "push", "env"} & set(parts):
            engines = open_all(kinds, directory, absent)
        if "runtime" in parts:
            runtimes = open_all([subjects.OurRuntime, subjects.Runc, subjects.Crun], directory, absent)
        if "run" in parts:
            note("run")
            document["results"]["run"] = bench_run(engines, archive, options.rounds)
        if "network" in parts:
            note("network")
            document["results"] |= bench_network(directory, archive, options.rounds, options.pulls, absent, versions)
        if "exec" in parts:
            note("exec")
            document["results"]["exec"] = bench_exec(engines, archive, options.rounds)
        if "lives" in parts:
            note("lives")
            document["results"] |= bench_lives(engines, archive, options.rounds, options.pulls)
        if "api" in parts:
            note("api")
            document["results"] |= bench_api(engines.get("docker"), directory, archive, options.rounds, absent)
        if "output" in parts:
            note("output")
            document["results"] |= bench_output(engines, archive, min(options.pulls, 2))
        if "runtime" in parts:
            note("runtime")
            bundle = subjects.make_bundle(directory / "bundle", lambda target: extract(image, target))
            document["results"]["runtime"] = bench_runtime(runtimes, bundle, options.rounds)
        if "pull" in parts:
            note("pull")
            document["results"]["pull"], document["results"]["pull_memory"] = bench_pull(
                engines, directory, options.pulls
            )
        if "ml" in parts:
            note("ml")
            document["results"]["ml"], document["results"]["ml_memory"] = bench_ml(engines, directory, options.pulls)
        if "import" in parts:
            note("import")
            document["results"]["import"] = bench_import(directory, options.pulls)
        if "disk" in parts:
            note("disk")
            document["results"]["disk"] = bench_disk(engines, directory)
        if "push" in parts:
            note("push")
            document["results"]["push"] = bench_push(engines, directory, options.pulls)
        if "env" in parts:
            note("env")
            document["results"] |= bench_env(engines, directory, options.pulls)
        document["versions"] = versions | {one.name: one.version for one in (*engines.values(), *runtimes.values())}
        document["absent"] = absent
    finally:
        for one in (*engines.values(), *runtimes.values()):
            one.close()
        subjects.remove_tree(directory)
        shutil.rmtree(directory, ignore_errors=True)
        subjects.remove_cgroups(before)
    text = table.render(document)
    print(text)
    if not options.no_readme:
        results = HERE / "results"
        results.mkdir(exist_ok=True)
        (results / f"{document['date']}.json").write_text(json.dumps(document, indent=1) + "\n")
        table.insert(HERE.parent / "README.md", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
