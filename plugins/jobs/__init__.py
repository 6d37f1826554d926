"""Jobs that come after a training. ForecastAnalysis (MDAnalysis) is imported when it is first used."""

from typing import TYPE_CHECKING, Any

from .check_plugin import CheckPlugin
from .export_weights import ExportWeights
from .forecast import Forecast
from .new_plugin import NewPlugin

if TYPE_CHECKING:
    from ._md_analysis import ForecastAnalysis

__all__ = ["CheckPlugin", "ExportWeights", "Forecast", "ForecastAnalysis", "NewPlugin"]


def __getattr__(name: str) -> Any:
    if name != "ForecastAnalysis":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from ._md_analysis import ForecastAnalysis
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("ForecastAnalysis needs MDAnalysis; pip install 'emprot[md]'") from error
    return ForecastAnalysis
