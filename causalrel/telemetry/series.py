r"""Series: samples under one metric name and one set of labels, in the notation Prometheus prints.

The ``metric`` of a sample is a name, or a name with labels such as ``ttft_seconds_bucket{le="0.5"}``. Inside quotes a
backslash, a quote and a line feed are written ``\\``, ``\"`` and ``\n``; a label name that is no identifier is quoted
too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from causalrel import errors
from causalrel.telemetry import collected

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PAIR = re.compile(rf"\s*([^\W\d]\w*|{_QUOTED})\s*=\s*({_QUOTED})\s*(,|$)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MEANS = {"n": "\n", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The samples of one metric with one set of labels.

    Parameters
    ----------
    name : str
        Metric name, without labels.
    labels : dict of str to str
        Labels written beside the name.
    columns : dict of str to str
        The other columns of the samples, such as ``node`` and ``service``, where they are not null.
    points : polars.DataFrame
        ``time`` in microseconds since 1970 and ``value``, in order of time, neither of them null.

    Examples
    --------
    >>> points = pl.DataFrame({"time": [0], "value": [1.0]})
    >>> Series(name="up", labels={"node": "a"}, columns={"node": "b"}, points=points).labelled()
    {'exported_node': 'a', 'node': 'b'}
    """

    name: str
    labels: dict[str, str]
    columns: dict[str, str]
    points: pl.DataFrame

    def labelled(self, without: tuple[str, ...] = ()) -> dict[str, str]:
        """Return columns and labels as one set, sorted; a label that bears a column's name becomes ``exported_...``.

        Parameters
        ----------
        without : tuple of str
            Columns to leave out.

        Returns
        -------
        dict of str to str
            Value of each label.
        """
        made = {name: value for name, value in self.columns.items() if name not in without}
        for name, value in self.labels.items():
            free = name
            while free in made:
                free = f"exported_{free}"
            made[free] = value
        return dict(sorted(made.items()))


def split_series(text: str) -> tuple[str, dict[str, str]]:
    r"""Split the metric of a sample into its name and its labels.

    Parameters
    ----------
    text : str
        A name, or a name and labels in braces.

    Returns
    -------
    name : str
        The name.
    labels : dict of str to str
        Value of each label, sorted by name.

    Raises
    ------
    CausalrelError
        When the labels are not in Prometheus notation, or one is there twice.

    Examples
    --------
    >>> split_series('ttft_seconds_bucket{le="0.5",path="C:\\\\a"}')
    ('ttft_seconds_bucket', {'le': '0.5', 'path': 'C:\\a'})
    """
    name, brace, rest = text.partition("{")
    if not brace:
        return text.strip(), {}
    inner, end = rest.rstrip()[:-1], rest.rstrip()[-1:]
    labels: dict[str, str] = {}
    at = 0
    while end == "}" and inner[at:].strip():
        pair = _PAIR.match(inner, at)
        label = _unquoted(pair[1]) if pair else ""
        if pair is None or label in labels:
            break
        labels[label] = _unquoted(pair[2])
        at = pair.end()
    if end != "}" or inner[at:].strip() or not name.strip():
        shown = text if len(text) <= 80 else text[:77] + "..."
        raise errors.bad_data(
            f"the metric '{shown}' of samples is not in Prometheus notation", 'write name{label="value",other="value"}'
        )
    return name.strip(), dict(sorted(labels.items()))


def join_series(name: str, labels: dict[str, str]) -> str:
    r"""Write a name and labels as one text, the way :func:`split_series` reads it.

    Parameters
    ----------
    name : str
        Metric name.
    labels : dict of str to str
        Value of each label.

    Returns
    -------
    str
        The name alone where there are no labels; else with the labels in braces, sorted.

    Examples
    --------
    >>> join_series("up", {"le": "0.5", "gpu.id": 'a"b'})
    'up{"gpu.id"="a\\"b",le="0.5"}'
    """
    pairs = (f"{key if _PLAIN.fullmatch(key) else _quoted(key)}={_quoted(labels[key])}" for key in sorted(labels))
    return f"{name}{{{','.join(pairs)}}}" if labels else name


def series_of(samples: pl.LazyFrame, source: str) -> list[Series]:
    """Gather samples by series.

    Parameters
    ----------
    samples : polars.LazyFrame
        ``time``, ``metric``, ``value`` and any other columns; a row without one of the three is no sample.
    source : str
        Where they come from, named in errors.

    Returns
    -------
    list of Series
        Sorted by service, node, name and labels.

    Raises
    ------
    CausalrelError
        When a metric is not in Prometheus notation, or the samples cannot be read.

    Examples
    --------
    >>> import causalrel as cr
    >>> samples = cr.load_dataset("llm-canary").samples
    >>> made = series_of(samples, "llm-canary")
    >>> (made[0].name, made[0].columns)
    ('DCGM_FI_DEV_GPU_TEMP', {'node': 'gpu-0', 'service': 'chat'})
    """
    names = [name for name in samples.collect_schema().names() if name not in ("time", "metric", "value")]
    frame = collected(
        samples.drop_nulls(["time", "metric", "value"]).select(
            pl.col("time").dt.timestamp("us"),
            pl.col("value").cast(pl.Float64),
            pl.col("metric").cast(pl.String),
            *[pl.col(name).cast(pl.String) for name in names],
        ),
        source,
    )
    texts = frame["metric"].unique().to_list()
    told = {join_series(*split_series(text)): split_series(text) for text in texts}
    same = pl.Series([join_series(*split_series(text)) for text in texts], dtype=pl.String)
    frame = frame.with_columns(pl.col("metric").replace_strict(pl.Series(texts, dtype=pl.String), same))
    made = []
    for key, points in frame.partition_by(["metric", *names], as_dict=True, include_key=False).items():
        name, labels = told[str(key[0])]
        columns = {column: str(value) for column, value in zip(names, key[1:], strict=True) if value is not None}
        made.append(Series(name=name, labels=labels, columns=columns, points=points.sort("time", maintain_order=True)))
    return sorted(made, key=_place)


def _place(series: Series) -> tuple[str, str, str, list[tuple[str, str]], list[tuple[str, str]]]:
    where = series.columns.get("service", ""), series.columns.get("node", "")
    return *where, series.name, sorted(series.columns.items()), sorted(series.labels.items())


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", lambda found: _MEANS.get(found[1], found[0]), text[1:-1], flags=re.DOTALL)
