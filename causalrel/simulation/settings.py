"""Settings: the configuration and hardware variables of a simulated service, and how their values are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from causalrel import errors
from causalrel.telemetry.schema import LOAD, METRIC_VARIABLES, REQUEST_VARIABLES
from causalrel.variables import Role

Form = Literal["whole", "number", "switch", "name"]

_SWITCH = {"on": 1.0, "off": 0.0, "true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One variable that ``do``, a policy or a rollout may set.

    Parameters
    ----------
    name : str
        Canonical name.
    role : str
        ``config`` or ``hardware``.
    form : {"whole", "number", "switch", "name"}
        How a value is written.
    least, most : float
        Range of a number.
    unit : str
        Its unit.

    Examples
    --------
    >>> SETTINGS["batch_size"].form
    'whole'
    """

    name: str
    role: Role
    form: Form
    least: float = 0.0
    most: float = 0.0
    unit: str = "1"


_ALL = (
    Setting(name="batch_size", role="config", form="whole", least=1, most=65_536),
    Setting(name="max_batched_tokens", role="config", form="whole", least=1, most=10_000_000, unit="token"),
    Setting(name="chunked_prefill", role="config", form="switch"),
    Setting(name="replicas", role="config", form="whole", least=1, most=65_536),
    Setting(name="gpu_count", role="config", form="whole", least=1, most=65_536),
    Setting(name="model_version", role="config", form="name"),
    Setting(name="quantisation", role="config", form="name"),
    Setting(name="kv_fraction", role="config", form="number", least=0.01, most=1.0),
    Setting(name="admission_limit", role="config", form="whole", least=0, most=10_000_000),
    Setting(name="prompt_cache_tokens", role="config", form="whole", least=0, most=1_000_000_000, unit="token"),
    Setting(name="prompt_template", role="config", form="name"),
    Setting(name="power_cap_w", role="config", form="number", least=50, most=100_000, unit="W"),
    Setting(name="gpu_type", role="hardware", form="name"),
    Setting(name="firmware", role="hardware", form="name"),
    Setting(name="sm_clock_mhz", role="hardware", form="number", least=1, most=10_000, unit="MHz"),
    Setting(name="node_up", role="hardware", form="switch"),
)

#: Every setting by name.
SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _ALL}


def read_setting(name: str, value: object, choices: Mapping[str, Sequence[str]], *, asked_by: str = "do") -> float:
    """Read one value of one setting as a number; a name becomes its place among the choices.

    Parameters
    ----------
    name : str
        A setting.
    value : object
        What was written.
    choices : mapping of str to sequence of str
        The names that each setting of that form may take.
    asked_by : str
        Who asks, named in the error.

    Returns
    -------
    float
        The value.

    Raises
    ------
    CausalrelError
        When there is no such setting, or it cannot take the value.

    Examples
    --------
    >>> read_setting("batch_size", "8", {}), read_setting("quantisation", "fp8", {"quantisation": ("fp16", "fp8")})
    (8.0, 1.0)
    """
    if name not in SETTINGS:
        raise _unknown(name, asked_by)
    setting = SETTINGS[name]
    text = str(value).strip()
    if setting.form == "name":
        if text not in choices[name]:
            raise errors.unknown_name(text, name.replace("_", " "), choices[name])
        return float(list(choices[name]).index(text))
    if setting.form == "switch":
        if text.lower() not in _SWITCH:
            raise errors.bad_question(f"{asked_by} cannot set {name} to '{value}'", "write on or off")
        return _SWITCH[text.lower()]
    return _number(setting, value, asked_by)


def _number(setting: Setting, value: object, asked_by: str) -> float:
    try:
        number = float(str(value)) if not isinstance(value, bool) else float("nan")
    except ValueError:
        number = float("nan")
    whole = setting.form == "whole"
    if not setting.least <= number <= setting.most or (whole and number != int(number)):
        unit = setting.unit if setting.unit not in {"1", "token"} else "a whole number" if whole else "a number"
        raise errors.bad_question(
            f"{asked_by} cannot set {setting.name} to '{value}'",
            f"write {unit} between {setting.least:g} and {setting.most:.8g}",
        )
    return number


def _unknown(name: str, asked_by: str) -> errors.CausalrelError:
    roles = {variable.name: variable.role for variable in (*REQUEST_VARIABLES, *METRIC_VARIABLES, LOAD)}
    if name not in roles:
        return errors.unknown_variable(name, asked_by, SETTINGS)
    if roles[name] in {"config", "hardware"}:
        return errors.bad_question(
            f"{asked_by} cannot set '{name}': this simulation holds it constant", f"set one of {', '.join(SETTINGS)}"
        )
    kind = f"{'an' if roles[name][0] in 'aeiou' else 'a'} {roles[name]} variable"
    return errors.bad_question(
        f"{asked_by} cannot set '{name}': it is {kind}, and only config and hardware can be set",
        f"set one of {', '.join(SETTINGS)}",
    )
