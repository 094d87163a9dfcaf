"""Writes the Grafana dashboards into the folder `dashboards`: `python deploy/monitoring/dashboards.py`.

Every API tells the figures of the whole service, so a panel shows the largest of what they tell.
"""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, ThresholdsConfig
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode, LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source that the reader chooses at the top of the page."""


def dashboards() -> dict[str, Dashboard]:
    """Return each dashboard by the name of its file."""
    return {"service": _service(), "workers": _workers(), "callbacks": _callbacks(), "readings": _readings()}


def text_of(dashboard: Dashboard) -> str:
    """Return a dashboard as the JSON that Grafana imports."""
    return json.dumps(dashboard.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _service() -> Dashboard:
    return (
        _empty("Service", "Whether submissions are taken, what waits and how fast it drains.")
        .with_panel(_number("APIs that answer", 'sum(up{job="osteo"})', least=1))
        .with_panel(_number("Object store answers", "min(osteo_object_store_up)", least=1))
        .with_panel(_number("Redis answers", "min(osteo_redis_up)", least=1))
        .with_panel(_number("Dead letters", "max(osteo_dead_letters)", most=0))
        .with_panel(_lines("Jobs that wait", "max by (priority) (osteo_jobs_waiting)", "{{priority}}"))
        .with_panel(
            _lines(
                "Age of the first in the queue",
                "max by (priority) (osteo_jobs_oldest_seconds)",
                "{{priority}}",
                "s",
            )
        )
        .with_panel(
            _lines(
                "Jobs that end, a second",
                "max by (state) (rate(osteo_jobs_ended_total[$__rate_interval]))",
                "{{state}}",
            )
        )
        .with_panel(
            _lines("Jobs that leave the queue, a second", "max(osteo_jobs_drained_per_second)", "last minute")
        )
    )


def _workers() -> Dashboard:
    return (
        _empty("Workers", "Which processes live, how fast they work and what they lose.")
        .with_panel(_lines("Processes that live", "max by (role) (osteo_processes)", "{{role}}"))
        .with_panel(
            _lines(
                "Jobs that leave the queue, a second and inference worker",
                'max(osteo_jobs_drained_per_second) / max(osteo_processes{role="inference"})',
                "each",
            )
        )
        .with_panel(
            _lines("Analyses handed back in an hour", "max(increase(osteo_attempts_lost_total[1h]))", "lost")
        )
        .with_panel(
            _lines(
                "How far the sweeper's clock is ahead",
                "max by (clock) (osteo_clock_difference_seconds)",
                "{{clock}}",
                "s",
            )
        )
    )


def _callbacks() -> Dashboard:
    return (
        _empty("Callbacks", "Which callbacks are sent and owed, and which receivers fail.")
        .with_panel(
            _lines(
                "Callbacks that come to an end, a second",
                "max by (outcome) (rate(osteo_deliveries_total[$__rate_interval]))",
                "{{outcome}}",
            )
        )
        .with_panel(
            _lines("Jobs under analysis, or owed a callback", "osteo:jobs_pending_not_waiting", "jobs")
        )
        .with_panel(_lines("Receivers that fail", "max by (state) (osteo_receivers)", "{{state}}"))
        .with_panel(_lines("Receivers not called for now", "max(osteo_receivers_paused)", "paused"))
    )


def _readings() -> Dashboard:
    return (
        _empty(
            "Readings",
            "Which readings wait and are late, how long readers take, and how often they disagree.",
        )
        .with_panel(
            _lines("Readings that wait", "max by (priority) (osteo_readings_waiting)", "{{priority}}")
        )
        .with_panel(
            _lines(
                "Age of the first that waits",
                "max by (priority) (osteo_readings_oldest_seconds)",
                "{{priority}}",
                "s",
            )
        )
        .with_panel(
            _lines("Readings that are overdue", "max by (priority) (osteo_readings_overdue)", "{{priority}}")
        )
        .with_panel(
            _lines(
                "Time to the signature of 9 in 10 readings of a day",
                "histogram_quantile(0.9, max by (priority, le) "
                "(increase(osteo_reading_turnaround_seconds_bucket[1d])))",
                "{{priority}}",
                "s",
            )
        )
        .with_panel(
            _lines(
                "Signed readings in a day, by disagreement with the model",
                "max by (kind) (increase(osteo_reading_disagreement_total[1d]))",
                "{{kind}}",
            )
        )
    )


def _empty(title: str, description: str) -> Dashboard:
    return (
        Dashboard(f"Osteo-Synergy: {title}")
        .uid(f"osteo-{title.lower()}")
        .description(description)
        .tags(["osteo-synergy"])
        .time("now-3h", "now")
        .refresh("30s")
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )


def _lines(title: str, expression: str, legend: str, unit: str = "short") -> timeseries.Panel:
    legends = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    return (
        timeseries.Panel()
        .title(title)
        .datasource(SOURCE)
        .unit(unit)
        .axis_soft_min(0)
        .legend(legends.show_legend(True))
        .span(12)
        .height(8)
        .with_target(prometheus.Dataquery().expr(expression).legend_format(legend).ref_id("A"))
    )


def _number(title: str, expression: str, least: float = 0, most: float | None = None) -> stat.Panel:
    """A number that is green from `least` to `most`, and red elsewhere."""
    steps = [Threshold(color="red", value=None), Threshold(color="green", value=least)]
    if most is not None:
        steps.append(Threshold(color="red", value=most + 1))
    return (
        stat.Panel()
        .title(title)
        .datasource(SOURCE)
        .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .span(6)
        .height(4)
        .with_target(prometheus.Dataquery().expr(expression).instant().ref_id("A"))
    )


if __name__ == "__main__":
    for name, dashboard in dashboards().items():
        (FOLDER / f"{name}.json").write_text(text_of(dashboard))
