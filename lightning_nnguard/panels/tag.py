"""Tags of charts."""

from __future__ import annotations


def layer_tag(statistic: str, where: str) -> str:
    """Return "<statistic>/<layer>", the layer last, so that a filter on the end of tags finds all charts of one layer."""
    return f"{statistic}/{where or 'model'}"
