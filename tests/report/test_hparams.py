"""Sessions for TensorBoard, read back as TensorBoard does."""

from __future__ import annotations

import struct

import pytest

from fine2coarse.report.hparams import EVENTS, Session, write_sessions

pytest.importorskip("tensorboard")


def read(folder):
    """What TensorBoard's own messages hold of an event file: TensorFlow is not needed for that."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    content, position, found, scalars = (folder / EVENTS).read_bytes(), 0, {}, {}
    while position < len(content):
        (size,) = struct.unpack_from("<Q", content, position)
        event = event_pb2.Event.FromString(content[position + 12 : position + 12 + size])
        position += 12 + size + 4
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                data = value.metadata.plugin_data.content
                found[value.tag] = plugin_data_pb2.HParamsPluginData.FromString(data)
            else:
                scalars[value.tag] = value.simple_value
    return found, scalars, metadata


def test_sessions_are_read_back(tmp_path):
    folder = tmp_path / "tensorboard"
    gone = Session("gone", {"arm": "old"}, {"error": 1.0}, 1e9)
    write_sessions(folder, [gone], {"error": "top-1 error"})
    settings = {"arm": "fine", "seed": 3}
    write_sessions(folder, [Session("fine-3", settings, {"error": 0.25}, 2e9)], {"error": "shown"})

    data, scalars, metadata = read(folder / "fine-3")
    start = data[metadata.SESSION_START_INFO_TAG].session_start_info
    assert start.hparams["arm"].string_value == "fine"
    assert start.hparams["seed"].number_value == 3
    assert data[metadata.SESSION_END_INFO_TAG].session_end_info.end_time_secs == 2e9
    assert scalars == {"error": 0.25}
    experiment = read(folder)[0][metadata.EXPERIMENT_TAG].experiment
    domains = {info.name: info.domain_discrete.values for info in experiment.hparam_infos}
    assert set(domains) == {"arm", "seed"}
    assert domains["arm"][0].string_value == "fine" and domains["seed"][0].number_value == 3
    assert [info.name.tag for info in experiment.metric_infos] == ["error"]
    assert not list((folder / "gone").iterdir())


@pytest.mark.slow
def test_tensorboards_own_reader_finds_the_scalars(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_sessions(tmp_path / "t", [Session("a", {"seed": 0}, {"error": 0.5}, 1e9)], {"error": "e"})
    events = EventAccumulator(str(tmp_path / "t" / "a"))
    events.Reload()
    assert events.Scalars("error")[0].value == 0.5
    assert "_hparams_/session_start_info" in events.summary_metadata
