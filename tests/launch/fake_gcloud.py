#!/usr/bin/env python3
"""Stands in for gcloud: writes down how it was called, and answers as answers.json says.

answers.json: step → list of [exit code, stdout, stderr]; the last one is given again and again. A
step is create, describe, scp, install, start, look, delete or rsync; `@NAME` is added for one
machine's own.
"""

import json
import os
import pathlib
import sys

FOLDER = pathlib.Path(os.environ["FAKE_GCLOUD"])


def step_of(arguments: list[str]) -> str:
    if arguments[:2] == ["storage", "rsync"]:
        return "rsync"
    verb = arguments[3]
    if verb != "ssh":
        return verb
    command = next(a for a in arguments if a.startswith("--command="))
    return "look" if "tail" in command else "start" if "nohup" in command else "install"


def main() -> None:
    arguments = sys.argv[1:]
    step = step_of(arguments)
    own = next((f"{step}@{a.split(':')[0]}" for a in arguments if a.startswith("study-")), step)
    calls = FOLDER / "calls.jsonl"
    with calls.open("a") as file:
        file.write(json.dumps([step, *arguments]) + "\n")
    answers = json.loads((FOLDER / "answers.json").read_text())
    key = own if own in answers else step
    counter = FOLDER / f"count-{key}"
    number = int(counter.read_text()) if counter.exists() else 0
    counter.write_text(str(number + 1))
    replies = answers.get(key, [[0, "", ""]])
    code, out, errors = replies[min(number, len(replies) - 1)]
    sys.stdout.write(out)
    sys.stderr.write(errors)
    sys.exit(code)


main()
