"""What the images are: files used and left out, stored in other formats, there twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from fine2coarse.analysis.merging import Merged
from fine2coarse.datasets.data_facts import DATA, overlap_in_words, published_in_words
from fine2coarse.files import read_json
from fine2coarse.report import page


def images(merged: Merged) -> list[Markup]:
    """HTML of what each study's folder records about its images; empty where it has nothing."""
    parts: list[Markup] = []
    seen = []
    for study in merged.studies:
        path = study.workdir / DATA
        facts = read_json(path) if path.is_file() else None
        if facts is None or facts in seen:
            continue
        seen.append(facts)
        parts += [part for told in facts["preparations"] for part in _preparation(told)]
        parts += [page.paragraph(overlap_in_words(found)) for found in facts["overlaps"]]
    return parts


def _preparation(told: Mapping[str, Any]) -> list[Markup]:
    splits = ", ".join(f"{name} {count:,}" for name, count in told["splits"].items())
    facts = {"images of": told["dataset"], "splits": splits}
    if "num_files" not in told:
        return [page.facts(facts)]
    facts |= {
        "prepared from": f"{told['source']}: {told['num_files']:,} files",
        "skipped": _counts(told["skipped"]) or "none",
        "converted to PNG or JPEG": _counts(told["transcoded"]) or "none",
        "same picture within a split": f"{told['duplicate_files']:,} files in "
        f"{told['duplicate_groups']:,} groups",
        "same picture across splits": _counts(told.get("duplicates_across", {})) or "none",
    }
    if published := published_in_words(told):
        facts["published"] = published
    return [page.facts(facts), *_skips(told["first_skips"])]


def _skips(rows: Sequence[Sequence[str]]) -> list[Markup]:
    if not rows:
        return []
    table = page.table(
        ["file", "reason", "detail"],
        [list(row) for row in rows],
        caption="The first of them; skipped.csv beside the prepared data has all.",
        label="Files that were skipped",
        text_columns=(0, 1, 2),
    )
    return [page.folded("Files that were skipped", table)]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())
