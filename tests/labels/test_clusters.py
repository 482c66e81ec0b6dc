"""Clusters: aligned or not, new images, restarts, threads, memory, and what is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from fine2coarse.labels import kmeans
from fine2coarse.labels.agreement import agreement
from fine2coarse.labels.apportion import share_out
from fine2coarse.labels.clusters import Centroids
from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.kmeans import KMeansSpec
from fine2coarse.labels.level import level
from fine2coarse.labels.sources import assigned, clusters, powers_of_two
from fine2coarse.labels.space import LabelSpace, LabelSpaceError

faiss = pytest.importorskip("faiss")


def leaf_space(images, num_leaves: int) -> LabelSpace:
    names = tuple(map(str, range(num_leaves)))
    table = np.arange(num_leaves)[:, None]
    return LabelSpace(names, names, table, dataset_fingerprint=images.taxonomy_fingerprint)


def test_clusters_find_the_blobs_within_each_target_class(blobs):
    images, embeddings, target = blobs
    space, centroids = clusters(images, embeddings, 8, within=target, seed=0)
    found = agreement(space, leaf_space(images, 8), images)
    assert (found.purity, found.nmi) == (1.0, pytest.approx(1.0))
    assert agreement(space, target, images).num_straddling == 0
    assert centroids.groups.tolist() == [0] * 4 + [1] * 4
    # The images that are not trained on lie in the same blobs.
    labels, leaves = images.single_labels(space), images.leaf_labels
    cluster_of_blob = dict(zip(leaves[images.is_train], labels[images.is_train]))
    assert all(cluster_of_blob[leaf] == label for leaf, label in zip(leaves, labels))


def test_clusters_of_the_whole_set_straddle_and_those_within_do_not(blobs):
    images, embeddings, _ = blobs
    # Target classes that cut through every blob.
    halves = images.make_space(
        np.arange(len(images)) % 16 // 8, ["even", "odd"], name="halves", source={}
    )
    whole, _ = clusters(images, embeddings, 8, within=None, seed=0)
    within, _ = clusters(images, embeddings, 8, within=halves, seed=0)
    assert agreement(whole, halves, images).num_straddling == 8
    assert agreement(within, halves, images).num_straddling == 0


def test_clusters_are_shared_out_by_class_size():
    assert share_out([100, 300], 8).tolist() == [2, 6]
    assert share_out([1, 1, 98], 10).tolist() == [1, 1, 8]


def test_inertia_is_that_of_scikit_learn_s_kmeans(blobs):
    cluster = pytest.importorskip("sklearn.cluster")
    images, embeddings, _ = blobs
    space, _ = clusters(images, embeddings, 8, within=None, seed=0)
    rows = embeddings.rows_for(images.image_ids)[images.is_train]
    theirs = cluster.KMeans(8, n_init=10, random_state=0).fit(embeddings.vectors[rows])
    assert space.source["inertia"] == pytest.approx(theirs.inertia_, rel=1e-4)
    assert len(space.source["inertia_of_starts"]) == KMeansSpec().num_restarts
    assert min(space.source["inertia_of_starts"]) == pytest.approx(space.source["inertia"])


def test_inertia_is_the_sum_of_squared_distances_by_hand():
    vectors = np.asarray([[0, 0], [2, 0], [10, 0], [12, 0]], np.float32)
    found = kmeans.fit(vectors, np.arange(4), 2, KMeansSpec(), seed=0)
    assert found.inertia == pytest.approx(4.0)
    assert sorted(found.centroids[:, 0].tolist()) == [1.0, 11.0]
    assert found.labels[0] == found.labels[1] != found.labels[2] == found.labels[3]


def test_spherical_clusters_go_by_direction():
    directions = np.asarray([[1, 0], [1, 0.01], [0, 1], [0.01, 1]])
    vectors = (directions * [[1], [50], [2], [70]]).astype(np.float32)
    found = kmeans.fit(vectors, np.arange(4), 2, KMeansSpec(spherical=True), seed=0)
    assert found.labels[0] == found.labels[1] != found.labels[2] == found.labels[3]
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1.0, rtol=1e-6)
    assert found.inertia < 1e-3
    with pytest.raises(LabelSpaceError, match="1 embeddings are zero"):
        kmeans.fit(
            np.eye(3, 2, dtype=np.float32), np.arange(3), 2, KMeansSpec(spherical=True), seed=0
        )


def test_only_the_rows_asked_for_are_clustered():
    vectors = np.asarray([[0.0], [1000.0], [1.0], [2000.0]], np.float32)
    found = kmeans.fit(vectors, np.asarray([2, 0]), 2, KMeansSpec(), seed=0)
    assert sorted(found.centroids[:, 0].tolist()) == [0.0, 1.0]


def test_a_drawn_sample_still_labels_every_row(blobs):
    images, embeddings, _ = blobs
    spec = KMeansSpec(max_rows_per_cluster=20)
    space, _ = clusters(images, embeddings, 8, within=None, spec=spec, seed=0)
    assert (images.single_labels(space) >= 0).all()
    assert agreement(space, leaf_space(images, 8), images).purity == 1.0


def test_seed_decides(blobs):
    images, embeddings, target = blobs
    spec = KMeansSpec(num_restarts=1, num_iterations=1)
    prints = [
        clusters(images, embeddings, 20, within=target, spec=spec, seed=s)[0].fingerprint
        for s in (0, 0, 1)
    ]
    assert prints[0] == prints[1] != prints[2]


_THREADS_PROGRAM = """
import hashlib, sys
import faiss, numpy as np
from fine2coarse.labels import kmeans
faiss.omp_set_num_threads(int(sys.argv[1]))
digest = hashlib.sha256()
shapes = [(5000, 37, 50, False), (9001, 64, 130, True), (700, 3, 9, False)]
generator = np.random.default_rng(0)
for num_rows, num_dims, k, spherical in shapes:
    vectors = generator.standard_normal((num_rows, num_dims)).astype(np.float32)
    spec = kmeans.KMeansSpec(spherical=spherical, num_restarts=2, num_iterations=10)
    found = kmeans.fit(vectors, np.arange(num_rows), k, spec, seed=5)
    digest.update(found.labels.tobytes() + found.centroids.tobytes())
print(digest.hexdigest())
"""


def test_one_thread_and_several_give_the_same_clusters():
    found = {
        subprocess.run(
            [sys.executable, "-c", _THREADS_PROGRAM, str(threads)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in (1, 2, 4)
    }
    assert len(found) == 1 and len(found.pop().strip()) == 64


def test_new_images_go_to_the_nearest_centroid(blobs, tmp_path):
    images, embeddings, target = blobs
    space, centroids = clusters(images, embeddings, 8, within=target, seed=0)
    centroids.save(tmp_path / "centroids.npz")
    again = Centroids.load(tmp_path / "centroids.npz")
    fresh = assigned(images, embeddings, again, within=target)
    np.testing.assert_array_equal(fresh.table, space.table)
    with pytest.raises(LabelSpaceError, match="were made within target"):
        assigned(images, embeddings, again, within=None)


def test_a_new_image_stays_within_its_target_class(blobs):
    images, embeddings, target = blobs
    _, centroids = clusters(images, embeddings, 8, within=target, seed=0)
    # A point in a blob of the left side, said to be of the right side (group 1).
    row = embeddings.rows_for([images.image_ids[0]])
    label, _ = centroids.nearest(embeddings, row, np.asarray([1]))
    assert centroids.groups[label[0]] == 1
    nowhere, _ = centroids.nearest(embeddings, row, np.asarray([-1]))
    assert nowhere.tolist() == [-1]


@pytest.mark.parametrize("num_clusters", [1, 401])
def test_fewer_images_than_clusters_or_fewer_clusters_than_classes(blobs, num_clusters):
    images, embeddings, target = blobs
    with pytest.raises(LabelSpaceError, match=f"num_clusters={num_clusters}; expected 2 .* to 400"):
        clusters(images, embeddings, num_clusters, within=target, seed=0)


def test_an_empty_target_class(blobs):
    images, embeddings, _ = blobs
    empty = images.make_space(np.zeros(len(images)), ["all", "none"], name="half", source={})
    with pytest.raises(LabelSpaceError, match=r"1 of 2 classes of target 'half' .*'none'"):
        clusters(images, embeddings, 8, within=empty, seed=0)


def test_embeddings_with_nan_are_counted_and_named(blobs):
    images, embeddings, _ = blobs
    vectors = embeddings.vectors.copy()
    vectors[[7, 9], 0] = [np.nan, np.inf]
    bad = dataclasses.replace(embeddings, vectors=vectors)
    with pytest.raises(LabelSpaceError, match=f"2 of 480 .*{embeddings.image_ids[7]}"):
        clusters(images, bad, 8, seed=0)


def test_missing_embeddings_are_counted(blobs):
    images, embeddings, _ = blobs
    short = Embeddings(embeddings.vectors[5:], embeddings.image_ids[5:], "e" * 64)
    with pytest.raises(LabelSpaceError, match="5 of 480 images have no embedding"):
        clusters(images, short, 8, seed=0)
    other = dataclasses.replace(embeddings, dataset_fingerprint="f" * 64)
    with pytest.raises(LabelSpaceError, match="belong to images ffff"):
        clusters(images, other, 8, seed=0)


def test_a_target_of_another_taxonomy(blobs, pets):
    images, embeddings, _ = blobs
    with pytest.raises(LabelSpaceError, match="make the label space again"):
        clusters(images, embeddings, 8, within=level(pets, "family"), seed=0)


def test_without_faiss_it_says_how_to_install_it(blobs, monkeypatch):
    images, embeddings, _ = blobs
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(LabelSpaceError, match=r"pip install 'fine2coarse\[clusters\]'"):
        clusters(images, embeddings, 8, seed=0)


def test_the_room_is_light_without_faiss():
    program = "import sys, fine2coarse.labels.spec; print('faiss' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_powers_of_two():
    assert powers_of_two(4, 64) == (4, 8, 16, 32, 64)
    assert powers_of_two(5, 63) == (8, 16, 32)
    assert powers_of_two(9, 15) == ()
    assert powers_of_two(1, 1) == (1,)
