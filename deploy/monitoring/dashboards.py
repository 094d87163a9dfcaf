"""Writes the Grafana dashboards into the folder `dashboards`: `python deploy/monitoring/dashboards.py`.

Every API tells the figures of the whole service, so a panel shows the largest of what they tell. Requests and
the figures of workers are added up.
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
    return {
        "service": _service(),
        "http": _http(),
        "workers": _workers(),
        "callbacks": _callbacks(),
        "readings": _readings(),
        "model": _model(),
    }


def text_of(dashboard: Dashboard) -> str:
    """Return a dashboard as the JSON that Grafana imports."""
    return json.dumps(dashboard.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _service() -> Dashboard:
    return (
        _empty("Service", "Whether submissions are taken, what waits and how fast it drains.")
        .with_panel(_number("APIs that answer", 'sum(up{job="osteo"})', least=1))
        .with_panel(_number("Object store answers", "min(osteo_object_store_up)", least=1))
        .with_panel(_number("Object store takes writes", "min(osteo_object_store_takes_writes)", least=1))
        .with_panel(_number("Redis answers", "min(osteo_redis_up)", least=1))
        .with_panel(_number("Workers that answer", 'sum(up{job="osteo-workers"})', least=1))
        .with_panel(_number("Dead letters", "max(osteo_dead_letters)", most=0))
        .with_panel(
            _number(
                "Stat jobs answered within 30 s, of a day",
                "1 - osteo:stat_late:ratio1d",
                least=0.995,
                unit="percentunit",
            )
        )
        .with_panel(_number("Alerts that fire", 'count(ALERTS{alertstate="firing"}) or vector(0)', most=0))
        .with_panel(
            _lines(
                "Errors of stat, as a multiple of what the objective allows",
                'label_replace(osteo:stat_late:ratio1h / 0.005, "over", "an hour", "", "") '
                'or label_replace(osteo:stat_late:ratio6h / 0.005, "over", "6 hours", "", "")',
                "{{over}}",
            )
        )
        .with_panel(
            _lines(
                "Time to the answer of 99 in 100 jobs",
                _quantile(0.99, "osteo_job_answer_seconds", "priority", "max"),
                "{{priority}}",
                "s",
            )
        )
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


def _http() -> Dashboard:
    return (
        _empty("HTTP", "Which requests come, how many of them fail, and how long their answers take.")
        .with_panel(
            _lines(
                "Requests a second, by route",
                "sum by (route) (rate(osteo_http_requests_total[$__rate_interval]))",
                "{{route}}",
            )
        )
        .with_panel(
            _lines(
                "Share of requests that fail in the service (5xx)",
                '(sum(rate(osteo_http_requests_total{status=~"5.."}[$__rate_interval])) or vector(0))'
                " / sum(rate(osteo_http_requests_total[$__rate_interval]))",
                "5xx",
                "percentunit",
            )
        )
        .with_panel(
            _lines(
                "Refusals a second, by type",
                'sum by (type) (rate(osteo_refusals_total{job="osteo"}[$__rate_interval]))',
                "{{type}}",
            )
        )
        .with_panel(
            _lines(
                "Time of 19 in 20 answers, by route",
                _quantile(0.95, "osteo_http_request_seconds", "route"),
                "{{route}}",
                "s",
            )
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
            _lines(
                "Wait of 19 in 20 jobs for a worker",
                _quantile(0.95, "osteo_job_queue_seconds", "priority"),
                "{{priority}}",
                "s",
            )
        )
        .with_panel(
            _lines(
                "Time of 19 in 20 analyses", _quantile(0.95, "osteo_job_analysis_seconds"), "analysis", "s"
            )
        )
        .with_panel(
            _lines(
                "Radiographs in one run of the model",
                "sum(rate(osteo_batch_size_sum[$__rate_interval]))"
                " / sum(rate(osteo_batch_size_count[$__rate_interval]))",
                "mean",
            )
        )
        .with_panel(
            _lines("Analyses handed back in an hour", "max(increase(osteo_attempts_lost_total[1h]))", "lost")
        )
        .with_panel(
            _lines(
                "Analyses in an hour that ended in an error of the service",
                "sum(increase(osteo_attempts_broken_total[1h]))",
                "broken",
            )
        )
        .with_panel(
            _lines(
                "Memory of a worker",
                'max by (role) (process_resident_memory_bytes{job="osteo-workers"})',
                "{{role}}",
                "bytes",
            )
        )
        .with_panel(
            _lines(
                "Processors that workers use",
                'sum by (role) (rate(process_cpu_seconds_total{job="osteo-workers"}[$__rate_interval]))',
                "{{role}}",
            )
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
        .with_panel(
            _lines(
                "Calls of receivers, a second",
                "sum by (outcome) (rate(osteo_delivery_seconds_count[$__rate_interval]))",
                "{{outcome}}",
            )
        )
        .with_panel(
            _lines(
                "Time of 19 in 20 calls",
                _quantile(0.95, "osteo_delivery_seconds", "outcome"),
                "{{outcome}}",
                "s",
            )
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
        .with_panel(
            _lines(
                "Share of the readings of 7 days that differ from the model, where both are sure",
                'label_replace(osteo:readings_differing:ratio7d, "what", "differ", "", "") '
                'or label_replace(osteo:readings_differing:least7d, "what", "at least (95 %)", "", "")',
                "{{what}}",
                "percentunit",
            )
        )
        .with_panel(
            _lines(
                "Notices to readers in a day",
                "sum by (kind, outcome) (increase(osteo_reading_notices_total[1d]))",
                "{{kind}} {{outcome}}",
            )
        )
    )


def _model() -> Dashboard:
    return (
        _empty(
            "Model",
            "Which model runs, what it answers, what it warns of or refuses, and how a roll-out goes.",
        )
        .with_panel(
            _lines(
                "Inference workers, by model",
                # Where the target has a label `role`, as in prometheus.yml, the model's is `exported_role`.
                'count by (name, version) (osteo_model_info{role!~"canary|shadow", '
                'exported_role!~"canary|shadow"})',
                "{{name}} {{version}}",
            )
        )
        .with_panel(
            _lines(
                "Results a second, by finding",
                "sum by (finding) (rate(osteo_results_total[$__rate_interval]))",
                "{{finding}}",
            )
        )
        .with_panel(
            _lines(
                "Share of results of a day that are indeterminate",
                'sum(increase(osteo_results_total{finding="indeterminate"}[1d]))'
                " / sum(increase(osteo_results_total[1d]))",
                "indeterminate",
                "percentunit",
            )
        )
        .with_panel(
            _lines(
                "Share of results of a day up to each probability",
                "sum by (le) (increase(osteo_result_probability_bucket[1d]))"
                " / ignoring(le) group_left sum(increase(osteo_result_probability_count[1d]))",
                "up to {{le}}",
                "percentunit",
            )
        )
        .with_panel(
            _lines(
                "How far the answers of 7 days are from those on the model's test part, and chance may lead",
                'label_replace(osteo:results_from_reference:distance7d, "what", "distance", "", "") '
                'or label_replace(osteo:results_from_reference:chance7d, "what", "chance", "", "")',
                "{{what}}",
                "percentunit",
            )
        )
        .with_panel(
            _lines(
                "Warnings in the results of a day",
                "sum by (type) (increase(osteo_warnings_total[1d]))",
                "{{type}}",
            )
        )
        .with_panel(
            _lines(
                "Radiographs that inference refused in a day",
                'sum by (type) (increase(osteo_refusals_total{job="osteo-workers"}[1d]))',
                "{{type}}",
            )
        )
        .with_panel(
            _lines(
                "Jobs that the shadow has scored in a day, by difference",
                "max by (kind) (increase(osteo_shadow_disagreement_total[1d]))",
                "{{kind}}",
            )
        )
        .with_panel(_lines("Copies of jobs that wait for the shadow", "max(osteo_shadow_waiting)", "copies"))
        .with_panel(
            _lines(
                "Workers that cannot load a model of the roll-out",
                "max by (role) (osteo_models_refused)",
                "{{role}}",
            )
        )
    )


def _quantile(share: float, histogram: str, by: str = "", over: str = "sum") -> str:
    """The value below which this share of a histogram lies, by a label."""
    labels = f"{by}, le" if by else "le"
    rate = f"rate({histogram}_bucket[$__rate_interval])"
    return f"histogram_quantile({share}, {over} by ({labels}) ({rate}))"


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


def _number(
    title: str, expression: str, least: float = 0, most: float | None = None, unit: str = "short"
) -> stat.Panel:
    """A number that is green from `least` to `most`, and red elsewhere."""
    steps = [Threshold(color="red", value=None), Threshold(color="green", value=least)]
    if most is not None:
        steps.append(Threshold(color="red", value=most + 1))
    return (
        stat.Panel()
        .title(title)
        .datasource(SOURCE)
        .unit(unit)
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
