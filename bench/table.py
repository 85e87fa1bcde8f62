"""The table of a result, as Markdown, and its place in the README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BEGIN, END = "<!-- bench: made by `make bench` -->", "<!-- /bench -->"
GOALS = {
    ("run", "docker"): "≤ 0.20",
    ("run", "podman"): "≤ 0.50",
    ("bridge", "docker"): "≤ 0.17",
    ("bridge", "podman"): "≤ 0.25",
    ("published", "docker"): "≤ 0.17",
    ("published", "podman"): "≤ 0.25",
    ("from_outside", "docker"): "≥ 0.95",
    ("between", "docker"): "≥ 0.95",
    ("exec", "docker"): "≤ 0.40",
    ("detached", "docker"): "≤ 0.33",
    ("remove", "docker"): "≤ 0.50",
    ("list", "docker"): "≤ 1.00",
    ("many", "docker"): "≤ 0.33",
    ("supervisor", "docker"): "≤ 1.00",
    ("output", "docker"): "≤ 1.25",
    ("runtime", "runc"): "≤ 1.00",
    ("pull", "docker"): "≤ 0.50",
    ("ml", "docker"): "≤ 0.25",
    ("import", "wherry, unpacked"): "≤ 1.00",
    ("disk", "its own layer, packed and unpacked"): "≤ 1.00",
    ("push", "docker"): "≤ 0.33",
    ("env_first", "docker"): "≤ 0.40",
    ("env_changed", "docker"): "≤ 0.10",
    ("env_same", "docker"): "< 0.3 s",
    ("api_run", "docker"): "≤ 0.50",
    ("api_exec", "docker"): "≤ 1.00",
    ("api_list", "docker"): "≤ 1.00",
    ("api_inspect", "docker"): "≤ 1.00",
}
OURS = {
    "run": "wherry",
    "bridge": "wherry",
    "published": "wherry",
    "from_outside": "wherry",
    "between": "wherry",
    "exec": "wherry",
    "detached": "wherry",
    "remove": "wherry",
    "list": "wherry",
    "many": "wherry",
    "supervisor": "wherry",
    "output": "wherry",
    "runtime": "wherry runtime",
    "pull": "wherry",
    "ml": "wherry",
    "import": "wherry",
    "disk": "wherry",
    "push": "wherry",
    "env_first": "wherry",
    "env_changed": "wherry",
    "env_same": "wherry",
    "env_pushed": "wherry",
    "api_run": "wherry serve",
    "api_exec": "wherry serve",
    "api_list": "wherry serve",
    "api_inspect": "wherry serve",
    "api_idle": "wherry serve",
}
PARTS = ("run", "network", "exec", "lives", "api", "output", "runtime", "pull", "ml", "import", "disk", "push", "env")
UNITS = {
    "run": "ms",
    "bridge": "ms",
    "published": "ms",
    "from_outside": "Gbit/s",
    "between": "Gbit/s",
    "exec": "ms",
    "detached": "ms",
    "remove": "ms",
    "list": "ms",
    "many": "s",
    "supervisor": "MB",
    "output": "s",
    "runtime": "ms",
    "pull": "s",
    "ml": "s",
    "import": "s",
    "disk": "MB",
    "push": "ms",
    "env_first": "s",
    "env_changed": "s",
    "env_same": "ms",
    "env_pushed": "MB",
    "api_run": "ms",
    "api_exec": "ms",
    "api_list": "ms",
    "api_inspect": "ms",
    "api_idle": "MB",
}


def _number(value: float, unit: str) -> str:
    return f"{value / 1000:.2f} s" if unit == "s" else f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def _rows(part: str, document: dict[str, Any]) -> list[str]:
    result = document["results"][part]
    summary = result["summary"]
    memory = document["results"].get(f"{part}_memory", {}).get("summary", {})
    ours = summary.get(OURS[part])
    rows = []
    for name, values in summary.items():
        ratio = goal = ""
        if ours and name != OURS[part]:
            ratio = f"{ours['median'] / values['median']:.2f}"
            goal = GOALS.get((part, name), "")
        time = f"{_number(values['median'], UNITS[part])} ({_number(values['best'], UNITS[part])})"
        weight = f"{memory[name]['median']:.0f} MB" if name in memory else ""
        version = document["versions"].get(name, "")
        rows.append(f"| {result['title']} | {name} {version} | {time} | {ratio} | {goal} | {weight} |")
    return rows


def render(document: dict[str, Any]) -> str:
    """Medians, best values in brackets, and the ratio of Wherry's median to each."""
    about = document["machine"]
    lines = [
        "| what | by | median (best) | wherry / it | goal | peak memory |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for part in OURS:
        if part in document["results"]:
            lines += _rows(part, document)
    processor = about["processor"] or about["machine"]
    lines += [
        "",
        f"{document['date']}: {about['processors']} x {processor}, {about['memory_gb']} GB, {about['system']}, "
        f"Linux {about['kernel']}, {about['storage']}, cgroups {about['cgroups']}, Python {about['python']}. "
        "The memory of docker is its daemon's, with all below it. Repeat with `make bench` as root.",
    ]
    failures = {name: text for result in document["results"].values() for name, text in result["failures"].items()}
    for name, text in (document.get("absent", {}) | failures).items():
        lines.append(f"Without {name}: {text.splitlines()[0][:200]}.")
    return "\n".join(lines)


def insert(readme: Path, text: str) -> None:
    """Put *text* between the README's markers."""
    whole = readme.read_text()
    head, found, rest = whole.partition(BEGIN)
    _old, closed, tail = rest.partition(END)
    if not found or not closed:
        raise SystemExit(f"{readme} has no place for the table")
    readme.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
