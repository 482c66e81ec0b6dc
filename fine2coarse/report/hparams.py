"""Runs as TensorBoard's HParams dashboard shows them; written without TensorFlow."""

from __future__ import annotations

import dataclasses
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse.files import write_atomic

EVENTS = "events.out.tfevents.0.study"  # a name that TensorBoard knows, the same in every report


@dataclasses.dataclass(frozen=True)
class Session:
    """One run.

    Attributes:
      name: of its folder.
      settings: what was chosen: name → bool, number or text.
      metrics: what came out: name → number.
      wall_time: when it ended; seconds since 1970.
    """

    name: str
    settings: Mapping[str, bool | float | str]
    metrics: Mapping[str, float]
    wall_time: float


def write_sessions(
    folder: pathlib.Path, sessions: Sequence[Session], metrics: Mapping[str, str]
) -> None:
    """Writes an event file a run, in place of those that an earlier call wrote.

    Args:
      folder: to give to TensorBoard as `--logdir`; learning curves lie below the runs' folders.
      sessions: the runs.
      metrics: name → what the dashboard calls it.

    Raises:
      ImportError: where TensorBoard is not installed.
    """
    from tensorboard.plugins.hparams import summary_v2

    names = sorted({name for session in sessions for name in session.settings})
    experiment = summary_v2.hparams_config_pb(
        hparams=[summary_v2.HParam(name, _domain(name, sessions)) for name in names],
        metrics=[summary_v2.Metric(tag, display_name=shown) for tag, shown in metrics.items()],
        time_created_secs=min((session.wall_time for session in sessions), default=0.0),
    )
    for stale in folder.glob(f"*/{EVENTS}"):
        stale.unlink()
    _write_events(folder, [experiment], max((s.wall_time for s in sessions), default=0.0))
    for session in sessions:
        _write_events(folder / session.name, _summaries(session), session.wall_time)


def _domain(name: str, sessions: Sequence[Session]) -> Any:
    """The values that a setting has, so that the dashboard can filter by them."""
    from tensorboard.plugins.hparams import summary_v2

    values = {session.settings[name] for session in sessions if name in session.settings}
    if any(isinstance(value, str) for value in values):
        return summary_v2.Discrete(sorted(map(str, values)), str)
    return summary_v2.Discrete(sorted(map(float, values)), float)


def _summaries(session: Session) -> list[object]:
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2

    start = summary_v2.hparams_pb(
        dict(session.settings), trial_id=session.name, start_time_secs=session.wall_time
    )
    scalars = summary_pb2.Summary(
        value=[
            summary_pb2.Summary.Value(tag=tag, simple_value=number)
            for tag, number in session.metrics.items()
        ]
    )
    ended = plugin_data_pb2.SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS, end_time_secs=session.wall_time
    )
    end = summary_pb2.Summary(
        value=[
            summary_pb2.Summary.Value(
                tag=metadata.SESSION_END_INFO_TAG,
                metadata=metadata.create_summary_metadata(
                    plugin_data_pb2.HParamsPluginData(session_end_info=ended)
                ),
                tensor=metadata.NULL_TENSOR,
            )
        ]
    )
    return [start, scalars, end]


def _write_events(folder: pathlib.Path, summaries: Sequence[object], wall_time: float) -> None:
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    events = [event_pb2.Event(wall_time=wall_time, file_version="brain.Event:2")]
    events += [event_pb2.Event(wall_time=wall_time, step=0, summary=s) for s in summaries]
    content = io.BytesIO()
    writer = RecordWriter(content)
    for event in events:
        writer.write(event.SerializeToString())
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / EVENTS, content.getvalue())
