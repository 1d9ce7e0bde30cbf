"""What has been counted since the control plane started, by frontends that are gone too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skysail.monitoring.merge import merge

__all__ = ["Totals"]

_Snapshot = Mapping[str, Any]


class Totals:
    """Remembers the last snapshot of each run of each frontend, so that a sum over them only grows.

    A frontend that is started again counts from zero. Were its old counts left out of the sum, the sum would fall, and
    Prometheus would take everything that the others have counted for new. What a run had counted after the last look
    at it is lost with it. Use it for counters; what is so at one moment is the business of the frontends that run.
    """

    def __init__(self) -> None:
        self._runs: dict[str, _Snapshot] = {}
        self._gone: _Snapshot = {}

    def add(self, snapshots: Sequence[_Snapshot]) -> dict[str, Any]:
        """The sum, when the frontends that answered said this; nothing where none did.

        It is of the applications and versions that there are now.
        """
        for snapshot in snapshots:
            self._replace(snapshot["run"], snapshot)
        if not snapshots:
            return {}
        said = [snapshot["run"] for snapshot in snapshots]
        silent = [snapshot for run, snapshot in self._runs.items() if run not in said]
        total = merge([*snapshots, *silent, self._gone])
        return {**total, **{key: _only(total[key], merge(snapshots)[key]) for key in ("apps", "models")}}

    def _replace(self, run: str, snapshot: _Snapshot) -> None:
        """Note what a run has counted; those before it, of the same frontend, are over."""
        frontend = run.partition("-")[0]
        for other in [it for it in self._runs if it != run and it.partition("-")[0] == frontend]:
            self._gone = merge([self._gone, self._runs.pop(other)])
        self._runs[run] = snapshot


def _only(entries: _Snapshot, present: _Snapshot) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if name in present}
