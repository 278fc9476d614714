"""Files of forecasters."""

import os
from typing import Any

import numpy as np

from crnn import archive, descriptions
from crnn.archive import boolean, list_of, nested, number, one_of, optional, whole_number
from crnn.errors import ModelFileError
from crnn.forecasting.cleaning import NO_LIMITS, Limits
from crnn.forecasting.fitted import NO_ERRORS, Fitted, Scaling
from crnn.forecasting.linear import Coefficients
from crnn.forecasting.recipe import EFFECTS, Recipe
from crnn.networks import FAMILIES

__all__ = ["from_parts", "parts", "read", "shapes_of", "write"]

KIND, FILE_VERSION = "forecaster", 2
# Longer lags and windows exceed every series that this package is for.
MAX_STEPS = (1 << 20) - 1

RECIPE = {
    "log": boolean(),
    "differences": list_of(whole_number(1, MAX_STEPS)),
    "lags": list_of(whole_number(1, MAX_STEPS)),
    "season": whole_number(0, MAX_STEPS),
}
SETTINGS = {
    "hidden_size": whole_number(1),
    "window": optional(whole_number(2)),
    "season": optional(whole_number(0)),
    "logarithms": boolean(),
    "epochs": optional(whole_number(1)),
    "seed": optional(whole_number(0)),
    "cell": one_of(*FAMILIES),
}
FIELDS_1 = {
    "network": nested(),
    "recipe": nested(RECIPE),
    "settings": nested(SETTINGS),
    "share": number(0.0),
    "residual_scale": number(0.0),
    "used_window": whole_number(1, MAX_STEPS),
    "found_season": whole_number(0, MAX_STEPS),
    "said": nested(),
}
FIELDS = FIELDS_1 | {
    "recipe": nested(
        RECIPE
        | {
            "drift": boolean(),
            "effects": one_of(*EFFECTS),
            "averaged_with": whole_number(0, MAX_STEPS),
        }
    ),
    "settings": nested(SETTINGS | {"floor": optional(number())}),
    "num_lagged": whole_number(0),
    "damping": number(0.0),
    "rows": whole_number(0),
    "errors": nested({"origins": whole_number(0), "steps": whole_number(0, MAX_STEPS)}),
    "lowest": number(0.0),
    "limits": optional(
        nested(
            {"error": number(0.0), "step": number(0.0), "middle": number(), "reach": number(0.0)}
        )
    ),
}


def parts(
    settings: dict[str, Any], fitted: Fitted, said: dict[str, Any]
) -> tuple[archive.Description, dict[str, np.ndarray[Any, Any]]]:
    """Return what `archive.write` writes: a description and arrays by name.

    Parameters
    ----------
    settings : dict
        Arguments of `Forecaster`.
    fitted : Fitted
    said : dict
        Anything else that JSON can hold.

    Returns
    -------
    description : dict
    arrays : dict of array
    """
    description = {
        "format": f"crnn {KIND}",
        "version": FILE_VERSION,
        "network": fitted.net.describe(),
        "recipe": fitted.recipe._asdict(),
        "settings": settings,
        "share": fitted.share,
        "residual_scale": fitted.residual_scale,
        "used_window": fitted.window,
        "found_season": fitted.found_season,
        "num_lagged": fitted.num_lagged,
        "damping": fitted.damping,
        "rows": fitted.rows,
        "errors": dict(zip(("origins", "steps"), fitted.errors.shape, strict=True)),
        "lowest": fitted.lowest,
        # JSON has no infinity.
        "limits": None if fitted.limits == NO_LIMITS else fitted.limits._asdict(),
        "said": said,
    }
    arrays = {
        "parameters": fitted.net.flat_params,
        "coefficients": fitted.coefficients.slopes,
        "effects": fitted.coefficients.effects,
        "column_limits": fitted.column_limits,
        "errors": fitted.errors,
        **fitted.scaling._asdict(),
    }
    return description, arrays


def from_parts(
    description: archive.Description, arrays: dict[str, np.ndarray[Any, Any]]
) -> tuple[dict[str, Any], Fitted, dict[str, Any]]:
    """Return what `parts` was given, of parts that `shapes_of` has checked.

    Parameters
    ----------
    description : dict
    arrays : dict of array

    Returns
    -------
    settings : dict
    fitted : Fitted
    said : dict
    """
    fields = _fields(description)
    description = _known(description, fields)
    settings = {name: description["settings"].get(name) for name in fields["settings"].fields or ()}
    columns = len(arrays["means"]) - 1
    anything = np.array([[-np.inf], [np.inf]]).repeat(columns, axis=1)
    limits = description.get("limits")
    fitted = Fitted(
        recipe=_recipe(description),
        found_season=description["found_season"],
        coefficients=Coefficients(arrays["coefficients"], arrays.get("effects", np.zeros(columns))),
        column_limits=arrays.get("column_limits", anything),
        # In version 1 all columns were known only afterwards.
        num_lagged=description.get("num_lagged", columns),
        damping=description.get("damping", 1.0),
        limits=Limits(**{name: limits[name] for name in Limits._fields}) if limits else NO_LIMITS,
        lowest=description.get("lowest", np.finfo(float).tiny),
        scaling=Scaling(arrays["means"], arrays["deviations"]),
        residual_scale=description["residual_scale"],
        window=description["used_window"],
        net=descriptions.from_description(description["network"], arrays["parameters"]),
        share=description["share"],
        rows=description.get("rows", 0),
        errors=arrays.get("errors", NO_ERRORS),
    )
    return settings, fitted, description["said"]


def write(
    path: str | os.PathLike[str], settings: dict[str, Any], fitted: Fitted, said: dict[str, Any]
) -> None:
    """Write a fitted forecaster to a file.

    Parameters
    ----------
    path : path-like
    settings : dict
        Arguments of `Forecaster`.
    fitted : Fitted
    said : dict
        Anything else that JSON can hold.

    Raises
    ------
    ValueError, TypeError
        `said` is too long, or JSON cannot hold it.
    OSError
        The file cannot be written.
    """
    archive.write(path, *parts(settings, fitted, said))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Fitted, dict[str, Any]]:
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    settings : dict
    fitted : Fitted
    said : dict

    Raises
    ------
    ModelFileError
        The file is damaged, holds something else, or was written by a newer version.
    OSError
        It cannot be opened.
    """
    return from_parts(*archive.read(path, shapes_of))


def shapes_of(description: archive.Description) -> archive.Shapes:
    """Check a description and return the dtypes and shapes of the arrays that belong to it.

    Parameters
    ----------
    description : dict

    Returns
    -------
    dict

    Raises
    ------
    ModelFileError
        It is none that `parts` made.
    """
    archive.check_kind(description, KIND, FILE_VERSION)
    fields = _fields(description)
    archive.check_fields(description, fields)
    description = _known(description, fields)
    network, recipe = description["network"], _recipe(description)
    if list(recipe.lags) != sorted(set(recipe.lags)):
        raise ModelFileError(f"recipe.lags: expected growing numbers, got {list(recipe.lags)}")
    shapes = descriptions.check_description(network)
    columns = network["input_size"] - bool(recipe.season) - 1
    if (
        columns < description.get("num_lagged", 0)
        or network["output_size"] != 1
        # Each layer takes a kilobyte, and some bytes in a file of many models.
        or network["num_layers"] != 1
        or network["bidirectional"]
        or not network["return_sequences"]
        or network.get("categorical")
    ):
        raise ModelFileError("network: expected one that belongs to the recipe")
    dtype = np.dtype(np.float64)
    shapes |= {
        "coefficients": (dtype, (len(recipe.lags) + 1,)),
        "means": (dtype, (columns + 1,)),
        "deviations": (dtype, (columns + 1,)),
    }
    if fields is FIELDS:
        errors = description["errors"]
        shapes |= {
            "effects": (dtype, (columns,)),
            "column_limits": (dtype, (2, columns)),
            "errors": (np.dtype(np.float32), (errors["origins"], errors["steps"])),
        }
    return shapes


def _fields(description: archive.Description) -> dict[str, archive.Field]:
    """Return the fields of a description's version."""
    return FIELDS_1 if description["version"] == 1 else FIELDS


def _known(
    description: archive.Description, fields: dict[str, archive.Field]
) -> archive.Description:
    """Return the fields of a checked description; what else it holds has not been checked."""
    return {
        name: _known(description[name], field.fields)
        if field.fields and description[name] is not None
        else description[name]
        for name, field in fields.items()
        if name in description
    }


def _recipe(description: archive.Description) -> Recipe:
    """Return the recipe of a checked description."""
    recipe = description["recipe"]
    return Recipe(
        recipe["log"],
        tuple(recipe["differences"]),
        tuple(recipe["lags"]),
        recipe["season"],
        recipe.get("drift", True),
        recipe.get("effects", "none"),
        recipe.get("averaged_with", 0),
    )
