"""Embeddings of any values: an answer, or one line with file, row, image, value and remedy."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from fine2coarse.labels import embeddings as embeddings_module
from fine2coarse.labels import kmeans
from fine2coarse.labels.advise import AdviseSpec, advise
from fine2coarse.labels.clusters import Centroids
from fine2coarse.labels.embeddings import Embeddings, unit_rows
from fine2coarse.labels.kmeans import SEEDINGS, KMeansSpec
from fine2coarse.labels.sources import assigned, clusters
from fine2coarse.labels.space import LabelSpaceError

pytest.importorskip("faiss")

SPHERICAL = KMeansSpec(spherical=True)


def with_values(embeddings: Embeddings, change) -> Embeddings:
    vectors = embeddings.vectors.copy()
    return dataclasses.replace(embeddings, vectors=change(vectors), path="mine.npy")


@pytest.mark.parametrize("seeding", SEEDINGS)
@pytest.mark.parametrize("factor", [1e11, 1e28, np.float64(1e200)])
def test_absurd_values_end_in_one_line_that_names_them(blobs, seeding, factor):
    images, embeddings, _ = blobs

    def change(vectors):
        vectors = vectors.astype(np.float64) if factor > 1e38 else vectors
        vectors[7:9] = [[3, 4], [-12, 5]]
        vectors[7:9] *= factor
        return vectors

    bad = with_values(embeddings, change)
    # 1e11 · 12 is beyond 1e12, 1e11 · 4 is not.
    first = f"{-12e11:g} in row 8, column 0, of {bad.image_ids[8]}"
    if factor > 1e11:
        first = f"{4 * factor:g} in row 7, column 1, of {bad.image_ids[7]}"
    num_bad = 1 if factor == 1e11 else 2
    expected = (
        f"mine.npy: {num_bad} of 480 embeddings hold NaN or infinity or values beyond 1e+12, the "
        f"first {first}: its square leaves float32; cluster them with spherical=True, or scale "
        "every vector to length one: fine2coarse embed with --npy=mine.npy --l2, without --pca"
    )
    started = time.process_time()
    with pytest.raises(LabelSpaceError) as error:
        clusters(images, bad, 8, spec=KMeansSpec(seeding=seeding), seed=0)
    assert str(error.value) == expected
    assert time.process_time() - started < 1


def test_advice_and_assignment_check_the_values_too(blobs):
    images, embeddings, target = blobs
    bad = with_values(embeddings, lambda vectors: vectors * np.float32(1e30))
    with pytest.raises(LabelSpaceError, match="400 of 400 embeddings hold"):
        advise(images, bad, target, [2, 4], aligned=True, spec=AdviseSpec(num_repeats=2), seed=0)
    _, centroids = clusters(images, embeddings, 8, seed=0)
    with pytest.raises(LabelSpaceError, match="480 of 480 embeddings hold"):
        assigned(images, bad, centroids)


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_spherical_clusters_of_any_scale_are_those_of_the_ordinary_one(blobs, factor):
    images, embeddings, _ = blobs
    scaled = with_values(embeddings, lambda vectors: vectors * np.float32(factor))
    expected, _ = clusters(images, embeddings, 4, spec=SPHERICAL, seed=0)
    found, centroids = clusters(images, scaled, 4, spec=SPHERICAL, seed=0)
    assert len(np.unique(found.table)) == 4
    np.testing.assert_array_equal(found.table, expected.table)
    np.testing.assert_array_equal(assigned(images, scaled, centroids).table, expected.table)


def test_values_too_small_to_be_squared(blobs):
    images, embeddings, _ = blobs
    tiny = with_values(embeddings, lambda vectors: vectors * np.float32(1e-30))
    with pytest.raises(LabelSpaceError, match=r"^mine\.npy: no value .* 1\.1e-28, .*--l2"):
        clusters(images, tiny, 8, seed=0)


@pytest.mark.parametrize(
    ("dtype", "value", "shown"),
    [(np.float32, np.nan, "nan"), (np.float64, -np.inf, "-inf"), (np.float16, 70_000, "inf")],
)
@pytest.mark.parametrize("spec", [KMeansSpec(), SPHERICAL])
def test_what_is_not_finite_is_named(blobs, dtype, value, shown, spec):
    images, embeddings, _ = blobs

    def change(vectors):
        with np.errstate(over="ignore"):
            vectors = vectors.astype(dtype)
            vectors[5, 1] = np.asarray(value, np.float64).astype(dtype)
        return vectors

    bad = with_values(embeddings, change)
    place = f"the first {shown} in row 5, column 1, of {bad.image_ids[5]}: make them again"
    with pytest.raises(LabelSpaceError, match=f"1 of 480 .* {place} in float32"):
        clusters(images, bad, 8, spec=spec, seed=0)


@pytest.mark.parametrize("value", [0, 1])
def test_equal_rows_are_one_cluster_and_the_empty_ones_are_counted(blobs, value):
    images, embeddings, _ = blobs
    equal = with_values(embeddings, lambda vectors: np.full_like(vectors, value))
    space, _ = clusters(images, equal, 8, seed=0)
    assert len(np.unique(space.table)) == 1 and space.source["num_empty_clusters"] == 7


def test_zero_rows_have_no_direction():
    vectors = np.asarray([[1, 0], [0, 0], [0, 2]], np.float32)
    with pytest.raises(LabelSpaceError, match=r"1 embeddings are zero .* row 1; .*spherical=False"):
        kmeans.gather(vectors, np.arange(3), unit=True)


def test_the_check_reads_a_block_at_a_time(monkeypatch, blobs):
    _, embeddings, _ = blobs
    monkeypatch.setattr(embeddings_module, "_CHECK_ROWS", 100)
    bad = with_values(embeddings, lambda vectors: np.where(vectors < -9.9, np.inf, vectors))
    num_bad = int(np.isinf(bad.vectors).any(axis=1).sum())
    with pytest.raises(LabelSpaceError, match=f"^mine.npy: {num_bad} of 480"):
        bad.check_values(np.arange(480))


@pytest.mark.parametrize(
    ("dtype", "factors"),
    [
        (np.float16, [1, 1e4, 1e-7]),
        (np.float32, [1, 1e37, 1e-44]),
        (np.float64, [1, 1e300, 1e-300]),
        (">f4", [1, 1e30, 1e-30]),
    ],
)
def test_rows_of_every_scale_get_length_one(dtype, factors):
    vectors = (np.asarray([[3, 4]]) * np.asarray(factors)[:, None]).astype(dtype)
    found, is_zero = unit_rows(vectors)
    assert found.dtype == np.float32 and not is_zero.any()
    # Subnormal numbers have few digits: 1e-44 · 3 is 21 times the least, 1e-7 · 3 is 5 times.
    np.testing.assert_allclose(found, [[0.6, 0.8]] * 3, atol=0.04)
    np.testing.assert_allclose(found[:2], [[0.6, 0.8]] * 2, atol=1e-3)


def test_ordinary_rows_are_scaled_as_by_their_norm():
    vectors = np.random.default_rng(0).standard_normal((100, 7)).astype(np.float32)
    expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_array_equal(unit_rows(vectors)[0], expected)


def test_centroids_that_are_no_numbers():
    with pytest.raises(LabelSpaceError, match="centroids hold NaN"):
        Centroids(np.asarray([[np.nan, 0]], np.float32), np.zeros(1, np.int32), False)


def write(tmp_path, array, ids="a\nb\nc\n"):
    path = tmp_path / "mine.npy"
    np.save(path, array)
    path.with_name("mine.npy.ids.txt").write_text(ids, "utf-8")
    return path


def test_files_in_fortran_order_other_endianness_or_half_precision(tmp_path):
    array = np.arange(6).reshape(3, 2)
    for kind in (np.asfortranarray(array, "<f4"), array.astype(">f8"), array.astype("<f2")):
        found = Embeddings.load(write(tmp_path, kind))
        rows = kmeans.gather(found.vectors, found.rows_for(["c", "a"]), unit=False)
        assert rows.dtype == np.float32 and rows.tolist() == [[4, 5], [0, 1]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 2), np.int64), "must be float .* got int64.*astype"),
        (np.zeros((3, 2), np.complex64), "must be float .* got complex64"),
        (np.zeros(3, np.float32), r"must be float .* got float32 \(3,\)"),
        (np.zeros((3, 2, 2), np.float32), r"must be float .* got float32 \(3, 2, 2\)"),
        (np.zeros(3, [("x", "f4")]), "must be float"),
        (np.asarray([[{}]] * 3), "expected a .npy of floats"),
    ],
)
def test_arrays_of_another_kind_name_the_file(tmp_path, array, message):
    path = write(tmp_path, array)
    with pytest.raises(LabelSpaceError, match=message) as error:
        Embeddings.load(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_the_remedy_for_another_kind_works(tmp_path):
    vectors = np.arange(12).reshape(3, 2, 2)
    path = write(tmp_path, vectors)
    with pytest.raises(LabelSpaceError) as error:
        Embeddings.load(path)
    remedy = str(error.value).rpartition("as in ")[2]
    exec(remedy, {"np": np, "file": path, "vectors": vectors})
    assert Embeddings.load(path).vectors.tolist()[0] == [0, 1, 2, 3]


def test_cut_damaged_and_overlong_files(tmp_path):
    path = write(tmp_path, np.zeros((3, 2), np.float32))
    good = path.read_bytes()
    header_without_end = good.replace(b"}", b" ")
    for data in (good[:-1], good[:100], b"", good + b"\0", header_without_end, b"no array"):
        path.write_bytes(data)
        with pytest.raises(LabelSpaceError, match=r"mine\.npy: expected a \.npy") as error:
            Embeddings.load(path)
        assert "\n" not in str(error.value)
    np.savez(tmp_path / "mine.npz", x=np.zeros((3, 2)))
    (tmp_path / "mine.npz").replace(path)
    with pytest.raises(LabelSpaceError, match="an archive of arrays"):
        Embeddings.load(path)


def test_ids_that_a_spreadsheet_saved(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    path = write(tmp_path, array)
    ids = tmp_path / "mine.npy.ids.txt"
    ids.write_bytes("a\r\nb\u2028\r\nc\r\n\r\n".encode("utf-16"))
    assert Embeddings.load(path).image_ids == ("a", "b\u2028", "c")
    ids.write_bytes(b"a\n\xe4\nc\n")
    with pytest.raises(LabelSpaceError, match=r"ids\.txt: line 2: is not UTF-8"):
        Embeddings.load(path)
    ids.write_bytes(b"a\nb\na\n")
    with pytest.raises(LabelSpaceError, match=r"mine\.npy: 1 image ids .* such as 'a'"):
        Embeddings.load(path)


def test_ids_that_differ_in_unicode_form_are_found_where_there_is_no_doubt():
    composed, decomposed = "\u00e4/1.jpg", "a\u0308/1.jpg"
    vectors = np.zeros((2, 1), np.float32)
    mine = Embeddings(vectors, ("x", decomposed))
    assert mine.rows_for([composed, " x"]).tolist() == [1, 0]
    with pytest.raises(LabelSpaceError, match="1 of 2 images have no embedding"):
        mine.rows_for([composed, decomposed])
    both = Embeddings(vectors, (composed, decomposed))
    assert both.rows_for([decomposed, composed]).tolist() == [1, 0]


@pytest.mark.parametrize("text", ["{", "[]", '"\u00e4"'])
def test_a_record_beside_the_vectors_that_is_none(tmp_path, text):
    path = write(tmp_path, np.zeros((3, 2), np.float32))
    path.with_name("mine.npy.json").write_text(text, "cp1252")
    with pytest.raises(LabelSpaceError, match=r"mine\.npy\.json: ") as error:
        Embeddings.load(path)
    assert "\n" not in str(error.value)
