"""Stands in for gcloud: writes down how it was called, and answers as answers.json says.

answers.json: step → list of [exit code, stdout, stderr]; the last one is given again and again. A
step is create, describe, scp, install, start, look, delete or rsync; `@NAME` is added for one
machine's own. It is started often: it imports little.
"""

import json
import os
import sys

FOLDER = os.environ["FAKE_GCLOUD"]


def step_of(arguments: list[str]) -> str:
    if arguments[:2] == ["storage", "rsync"]:
        return "rsync"
    verb = arguments[3]
    if verb != "ssh":
        return verb
    command = next(a for a in arguments if a.startswith("--command="))
    return "look" if "tail" in command else "start" if "nohup" in command else "install"


def count(key: str) -> int:
    """How often this was asked before."""
    with open(f"{FOLDER}/count-{key}", "a+") as file:  # noqa: PTH123
        number = file.tell()
        file.write("x")
    return number


def main() -> None:
    arguments = sys.argv[1:]
    step = step_of(arguments)
    own = next((f"{step}@{a.split(':')[0]}" for a in arguments if a.startswith("study-")), step)
    with open(f"{FOLDER}/calls.jsonl", "a") as file:  # noqa: PTH123
        file.write(json.dumps([step, *arguments]) + "\n")
    with open(f"{FOLDER}/answers.json") as file:  # noqa: PTH123
        answers = json.load(file)
    key = own if own in answers else step
    replies = answers.get(key, [[0, "", ""]])
    code, out, errors = replies[min(count(key), len(replies) - 1)]
    sys.stdout.write(out)
    sys.stderr.write(errors)
    sys.exit(code)


main()
