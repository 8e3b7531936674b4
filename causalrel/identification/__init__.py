"""Identification: what a graph alone tells of an effect, and which of its claims data can refute."""

from causalrel.identification.adjustments import (
    adjustment,
    between,
    hidden_confounders,
    is_adjustment,
    list_adjustments,
    minimal_adjustment,
    optimal_adjustment,
)
from causalrel.identification.controls import tell_forbidden
from causalrel.identification.instruments import (
    FrontDoor,
    Instrument,
    find_front_door,
    is_front_door,
    is_instrument,
    list_front_doors,
    list_instruments,
)
from causalrel.identification.mediators import Mediation, find_mediation
from causalrel.identification.separations import Implication, is_separated, list_implications

__all__ = [
    "FrontDoor",
    "Implication",
    "Instrument",
    "Mediation",
    "adjustment",
    "between",
    "find_front_door",
    "find_mediation",
    "hidden_confounders",
    "is_adjustment",
    "is_front_door",
    "is_instrument",
    "is_separated",
    "list_adjustments",
    "list_front_doors",
    "list_implications",
    "list_instruments",
    "minimal_adjustment",
    "optimal_adjustment",
    "tell_forbidden",
]
