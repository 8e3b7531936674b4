"""Health: events of GPUs in the gauges and counters that DCGM exports."""

from __future__ import annotations

import polars as pl

from causalrel import errors

#: Labels that change with the code, so that they would begin another series.
_TOLD_BY_CODE = r'(err_code|err_msg)="(?:[^"\\]|\\.)*",?'
_LAST_CODE = "DCGM_FI_DEV_XID_ERRORS"
#: Counters of DCGM that grow when a GPU is unwell, and the event that an increase is.
_COUNTERS = {
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": "ecc_dbe",
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": "ecc_sbe",
    "DCGM_FI_DEV_RETIRED_DBE": "retired_dbe",
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": "remapped_uncorrectable",
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": "remapped_correctable",
    "DCGM_FI_DEV_ROW_REMAP_FAILURE": "remap_failure",
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": "pcie_replay",
    "DCGM_FI_DEV_THERMAL_VIOLATION": "thermal_violation",
    "DCGM_FI_DEV_POWER_VIOLATION": "power_violation",
}


def find_health_events(samples: pl.DataFrame) -> pl.DataFrame:
    """Find health events in samples of DCGM.

    ``DCGM_FI_DEV_XID_ERRORS`` holds the last code, so a new code is an event, and the same code again is not seen.
    Counters are events where they grow; one that falls began anew, and what it shows was counted since. A violation
    counts the samples during which the GPU was held back. The first sample of a series tells of the time before it,
    so it is none. An event bears the time of the sample that shows it first.

    Parameters
    ----------
    samples : polars.DataFrame
        Canonical samples: ``time``, ``node``, ``metric`` (with labels), ``value``.

    Returns
    -------
    polars.DataFrame
        ``time``, ``node``, ``gpu`` (its UUID, else its number; null where neither is told), ``event`` (``xid_79``,
        ``ecc_dbe``, ...), ``count``, in order of time.

    Raises
    ------
    CausalrelError
        When a column is missing.

    References
    ----------
    NVIDIA dcgm-exporter, https://github.com/NVIDIA/dcgm-exporter.

    Examples
    --------
    >>> rows = {
    ...     "time": [0, 1, 2, 3],
    ...     "node": "n1",
    ...     "metric": "DCGM_FI_DEV_XID_ERRORS",
    ...     "value": [13.0, 13.0, 79.0, 79.0],
    ... }
    >>> find_health_events(pl.DataFrame(rows)).select("time", "event", "count").rows()
    [(2, 'xid_79', 1)]
    """
    for name in ("time", "node", "metric", "value"):
        if name not in samples.columns:
            raise errors.unknown_column(name, "the search for health events", samples.columns)
    series = ["node", pl.col("metric").str.replace_all(_TOLD_BY_CODE, "")]
    label = [pl.col("metric").str.extract(rf'[{{,]{name}="([^"]*)"') for name in ("UUID", "gpu_uuid", "gpu")]
    metric = pl.col("metric").str.split("{").list.first().str.strip_suffix("_total")
    counted = metric.replace_strict(_COUNTERS, default=None, return_dtype=pl.String)
    value, before = pl.col("value"), pl.col("value").shift().over(series)
    code = pl.format("xid_{}", value.cast(pl.Int64, strict=False))
    grown = pl.when(value >= before).then(value - before).otherwise(value)
    held = counted.str.ends_with("_violation")
    return (
        samples.filter((metric == _LAST_CODE) | counted.is_not_null())
        .with_columns(value.fill_nan(None))
        .drop_nulls(["time", "value"])
        .sort("time", maintain_order=True)
        .with_columns(grown.alias("#grown"), (value.ne(before) & value.ne(0)).alias("#new"), before.alias("#before"))
        .drop_nulls("#before")
        .filter(pl.when(metric == _LAST_CODE).then("#new").otherwise(pl.col("#grown") > 0))
        .select(
            "time",
            "node",
            gpu=pl.coalesce(label),
            event=pl.coalesce(counted, code),
            count=pl.when(held | (metric == _LAST_CODE)).then(1).otherwise(pl.col("#grown")).round().cast(pl.Int64),
        )
    )
