"""TF_CONFIG: which process of several this is, and what is wrong with it."""

from __future__ import annotations

import json

import pytest

from fine2coarse.training.cluster_task import is_multi_worker, read_task
from fine2coarse.training.tensorflow.distribution import make_strategy

HOSTS = ["host1:2222", "host2:2222"]


@pytest.fixture
def tf_config(monkeypatch):
    def set_to(cluster, kind="worker", index=0):
        content = {"cluster": cluster, "task": {"type": kind, "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(content))

    return set_to


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "is_chief"),
    [
        ({"worker": HOSTS}, "worker", 0, True),
        ({"worker": HOSTS}, "worker", "1", False),
        ({"chief": HOSTS[:1], "worker": HOSTS[1:]}, "chief", 0, True),
        ({"chief": HOSTS[:1], "worker": HOSTS[1:]}, "worker", 0, False),
        ({"chief": HOSTS[:1]}, "chief", 0, True),
    ],
)
def test_roles_that_train(tf_config, cluster, kind, index, is_chief):
    tf_config(cluster, kind, index)
    task = read_task()
    assert (task.kind, task.index, task.is_chief) == (kind, int(index), is_chief)


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "message"),
    [
        ({"worker": HOSTS, "ps": ["h:1"]}, "worker", 0, "names the role 'ps'"),
        ({"worker": HOSTS, "ps": ["h:1"]}, "ps", 0, "names the role 'ps'"),
        ({"worker": HOSTS}, "evaluator", 0, "names the role 'evaluator'"),
        ({"master": ["h:1"], "worker": HOSTS}, "master", 0, "call a master chief"),
        ({"worker": HOSTS}, "chief", 0, "task is chief 0, but its cluster lists 0"),
        ({"worker": HOSTS}, "worker", 2, "task is worker 2, but its cluster lists 2"),
        ({"worker": HOSTS}, "worker", -1, "task is worker -1"),
        ({"chief": HOSTS}, "chief", 1, "lists 2 chiefs"),
        ({"worker": "host1:2222"}, "worker", 0, "it is "),
        ({"worker": ["host1"]}, "worker", 0, "it is "),
        ({"worker": []}, "worker", 0, "it is "),
        ({}, "worker", 0, "its cluster lists 0"),
        ([], "worker", 0, "its cluster lists 0"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tf_config, cluster, kind, index, message):
    tf_config(cluster, kind, index)
    with pytest.raises(ValueError, match=message) as error:
        make_strategy("auto")
    told = str(error.value)
    assert "TF_CONFIG" in told and '"task": {"type": "worker", "index": 0}' in told
    assert "unset TF_CONFIG" in told and "\n" not in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is '{'"),
        ("[]", "it is '\\[\\]'"),
        ("", "it is not set"),
        ("{}", "it has no 'cluster'"),
        ('{"cluster": {"worker": ["h:1"]}}', "it has no 'task'"),
        ('{"cluster": {"worker": ["h:1"]}, "task": {"type": "worker"}}', "it has no 'index'"),
        ('{"cluster": {"worker": ["h:1"]}, "task": {"type": "worker", "index": "a"}}', "it is "),
        ('{"cluster": {"worker": ["h:1"]}, "task": 3}', "it is "),
    ],
)
def test_malformed_text(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=message):
        make_strategy("multi_worker")


def test_it_does_not_count_where_another_strategy_is_named(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{")
    assert not is_multi_worker("one_device") and not is_multi_worker("mirrored")
    assert is_multi_worker("auto") and is_multi_worker("multi_worker")
    monkeypatch.delenv("TF_CONFIG")
    assert not is_multi_worker("auto")
    with pytest.raises(ValueError, match="it is not set"):
        make_strategy("multi_worker")
