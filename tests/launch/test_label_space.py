"""Label spaces and embeddings as a user makes them: the commands, what they print, mistakes."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.space import LabelSpace
from tests.launch.programs import ROOT, launch


@pytest.fixture(scope="module")
def card(tmp_path_factory) -> list[str]:
    """Flags that name a small demo dataset."""
    folder = tmp_path_factory.mktemp("data")
    return ["--config=configs/label_sources.py:smoke", f"--data_dir={folder}"]


@pytest.fixture(scope="module")
def embeddings(card, tmp_path_factory) -> pathlib.Path:
    """Vectors of one's own, given in another order, adopted by launch/embed.py."""
    folder = tmp_path_factory.mktemp("vectors")
    ids = [f"train-{i:06d}" for i in range(192)] + [f"test-{i:06d}" for i in range(128)]
    generator = np.random.default_rng(0)
    order = generator.permutation(320)
    np.save(folder / "mine.npy", generator.standard_normal((320, 6)).astype(np.float32)[order])
    (folder / "ids.txt").write_text("\n".join(ids[i] for i in order))
    out = folder / "e.npy"
    done = launch(
        "embed", *card, f"--npy={folder / 'mine.npy'}", f"--ids={folder / 'ids.txt'}",
        "--pca=4", "--l2", f"--out={out}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "320 images × 4 dimensions" in done.stdout
    return out


def space_flags(card: list[str], source: str, *options: str) -> list[str]:
    """Flags of configs/labels.py for the same small dataset."""
    small = {"num_train": 192, "num_test_easy": 64, "num_test_hard": 64}
    return [
        f"--config=configs/labels.py:{source}",
        card[1],
        *(f"--config.dataset.options.{key}={value}" for key, value in small.items()),
        *(f"--config.label.options.{option}" for option in options),
    ]


TARGET = "--config.target.options.level=superclass"


@pytest.mark.slow
def test_a_level_is_written_and_described(card, tmp_path):
    out = tmp_path / "middle.npz"
    done = launch("label_space", *space_flags(card, "level", "level=middle"), f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert "middle: 8 classes, single-label, keyed by leaf" in done.stdout
    assert "192 labelled, 0 left out" in done.stdout and "3.000 bits" in done.stdout
    space = LabelSpace.load(out)
    assert (
        json.loads((tmp_path / "middle.npz.json").read_text())["fingerprint"] == space.fingerprint
    )
    alone = launch("label_space", f"--describe={out}")
    assert alone.returncode == 0 and "8 classes" in alone.stdout


def test_clusters_within_never_straddle_and_whole_ones_do(card, embeddings, tmp_path):
    shown = {}
    for aligned in (True, False):
        options = (f"embeddings={embeddings}", "num_clusters=16", f"aligned={aligned}")
        out = tmp_path / f"{aligned}.npz"
        flags = space_flags(card, "clusters", *options)
        done = launch("label_space", *flags, TARGET, f"--out={out}")
        assert done.returncode == 0, done.stderr
        shown[aligned] = next(line for line in done.stdout.splitlines() if "target super" in line)
        space = LabelSpace.load(out)
        assert len(space.source["inertia_of_starts"]) == 3
        assert space.image_ids[192] == "test-000000" and (space.table >= 0).all()
        assert (tmp_path / f"{aligned}.centroids.npz").exists()
    assert "0 of 16" in shown[True] and "1.0000" in shown[True]
    assert "16 of 16" in shown[False]
    described = launch(
        "label_space", *space_flags(card, "level"), f"--describe={tmp_path / 'True.npz'}",
        f"--against={tmp_path / 'False.npz'}",
    )  # fmt: skip
    assert described.returncode == 0, described.stderr
    assert "clusters-whole-16" in described.stdout


@pytest.mark.slow
def test_a_sweep_writes_a_file_a_size(card, embeddings, tmp_path):
    flags = space_flags(card, "clusters", f"embeddings={embeddings}")
    done = launch(
        "label_space", *flags, TARGET, "--config.sizes=(4,8)", f"--out={tmp_path / 'c.npz'}"
    )
    assert done.returncode == 0, done.stderr
    assert [LabelSpace.load(tmp_path / f"c-{n}.npz").num_classes for n in (4, 8)] == [4, 8]


@pytest.mark.slow
def test_advice_is_printed_as_a_ranking(card, embeddings):
    flags = space_flags(card, "clusters", f"embeddings={embeddings}", "aligned=False")
    done = launch("label_space", *flags, TARGET, "--advise", "--config.sizes=(4,8,16)")
    assert done.returncode == 0, done.stderr
    assert "gap to best" in done.stdout and "Try first:" in done.stdout
    rows = [line.split()[0] for line in done.stdout.splitlines()[2:5]]
    assert sorted(rows) == ["16", "4", "8"]


@pytest.mark.parametrize(
    ("source", "flags", "message"),
    [
        ("level", ["--out=x"], "ends in .npz"),
        ("level", ["--out={tmp}/x.npz"], "label source 'level' needs level"),
        ("cut", ["--out={tmp}/x.npz"], "a cut needs num_classes or a list of nodes"),
        (
            "level",
            ["--advise", "--config.label.options.level=middle"],
            "goes with source `clusters`",
        ),
    ],
)
def test_mistakes_are_told_before_any_data_is_read(card, tmp_path, source, flags, message):
    check_mistake(card, tmp_path, source, flags, message)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "flags", "message"),
    [
        ("mixed", ["--config.label.options.min_images=500"], "no class reaches min_images=500"),
        (
            "cut",
            ["--config.label.options.nodes=('superclass0',)"],
            "24 of 32 leaves lie under none of the listed nodes",
        ),
        ("random", ["--config.label.options.num_classes=8"], "needs a target"),
    ],
)
def test_mistakes_that_the_data_show_are_told_in_one_line(card, tmp_path, source, flags, message):
    check_mistake(card, tmp_path, source, [*flags, "--out={tmp}/x.npz"], message)


def check_mistake(card, folder: pathlib.Path, source: str, flags: list[str], message: str) -> None:
    flags = [flag.replace("{tmp}", str(folder)) for flag in flags]
    done = launch("label_space", *space_flags(card, source), *flags)
    assert done.returncode == 2 and message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_dropping_what_is_not_covered(card, tmp_path):
    out = tmp_path / "one.npz"
    flags = space_flags(card, "cut", "nodes=('superclass0',)")
    done = launch("label_space", *flags, "--drop_uncovered", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert "48 labelled, 144 left out" in done.stdout


@pytest.mark.slow
def test_a_space_of_another_dataset(card, tmp_path):
    space = LabelSpace(("a",), ("a",), np.zeros((32, 1), int), dataset_fingerprint="f" * 64)
    space.save(tmp_path / "other.npz")
    done = launch(
        "label_space", *space_flags(card, "level"), f"--describe={tmp_path / 'other.npz'}"
    )
    assert done.returncode == 2 and "make the label space again for this data" in done.stderr


@pytest.mark.slow
def test_a_study_names_every_source_and_a_file(card, embeddings, tmp_path):
    space = tmp_path / "middle.npz"
    launch("label_space", *space_flags(card, "level", "level=middle"), f"--out={space}")
    card_file = tmp_path / "card.py"
    arms = {
        "within": _arm("clusters", num_clusters=8, embeddings=str(embeddings)),
        "mixed": _arm("mixed", min_images=7),
        "noisy": _arm("corrupted", base=_arm("level", level="fine"), share=0.5),
        "few": _arm("size_matched", base=_arm("level", level="fine"), num_images_total=160),
        "file": _arm("file", path=str(space)),
    }
    card_file.write_text(
        "import importlib.util\n"
        f"path = {str(ROOT / 'configs' / 'label_sources.py')!r}\n"
        "spec = importlib.util.spec_from_file_location('card', path)\n"
        "card = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(card)\n"
        "def get_config():\n"
        "    config = card.get_config('smoke').unlock()\n"
        f"    config.arms = {arms!r}\n"
        "    return config.lock()\n"
    )
    done = launch("study", f"--config={card_file}", card[1], f"--workdir={tmp_path / 'study'}")
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "study" / "results.csv").read_text().splitlines()
    found = {row.split(",")[0]: int(row.split(",")[1]) for row in rows[1:]}
    # Six images a fine class: mixed lifts all 32 to the 8 middle classes.
    assert found == {
        "baseline": 4, "within": 8, "mixed": 8, "noisy": 32, "few": 32, "file": 8,
    }  # fmt: skip


def _arm(source: str, **options) -> dict:
    return {"source": source, "options": options}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "choose one of --run, --preset, --hub and --npy; got none"),
        (["--run=a", "--hub=b"], "got ['run', 'hub']"),
        (["--run=nowhere"], "nowhere: no such folder"),
    ],
)
def test_embedding_with_nothing_or_too_much(card, tmp_path, flags, message):
    done = launch("embed", *card, *flags, f"--out={tmp_path / 'e.npy'}")
    assert done.returncode == 2 and message in done.stderr


@pytest.mark.slow
def test_embedding_with_a_run_and_two_devices_is_the_same(card, tmp_path):
    done = launch("pretrain", *card, "--arm=target", f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    flags = (*card, f"--run={tmp_path / 'run'}", "--batch_size=48")
    one = launch("embed", *flags, f"--out={tmp_path / 'one.npy'}")
    assert one.returncode == 0, one.stderr
    two = launch(
        "embed", *flags, f"--out={tmp_path / 'two.npy'}", "--strategy=mirrored",
        "--num_logical_cpus=2",
    )  # fmt: skip
    assert two.returncode == 0, two.stderr
    found = [Embeddings.load(tmp_path / f"{name}.npy") for name in ("one", "two")]
    assert found[0].image_ids == found[1].image_ids
    np.testing.assert_allclose(found[0].vectors, found[1].vectors, rtol=1e-4, atol=1e-5)
