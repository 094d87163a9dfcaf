"""Alerts and dashboards as files: each alert has its section and its cases, each dashboard is generated."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from stack.part import ROOT
from tests.monitoring import ALERTS, FOLDER, expressions, generated, rules
from tests.test_docs import anchors_of

PAGE = ROOT / "docs/operate.md"
CASES = [
    (case["alertname"], bool(case.get("exp_alerts")))
    for file in sorted((FOLDER / "rules").glob("*_test.yml"))
    for test in yaml.safe_load(file.read_text())["tests"]
    for case in test["alert_rule_test"]
]
DASHBOARDS = sorted(path.stem for path in (FOLDER / "dashboards").iterdir())


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_summary_a_severity_and_a_section_of_its_own(alert: str):
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert ROOT / page == PAGE
    assert anchor == alert.lower()
    assert anchor in anchors_of(PAGE)
    section = re.findall(rf"^### {alert}\n(.*?)(?=^##)", PAGE.read_text(), re.DOTALL | re.MULTILINE)[0]
    told = re.findall(r"^- (Symptom|Meaning|What to do): ", section, re.MULTILINE)
    assert told == ["Symptom", "Meaning", "What to do"]


def test_the_table_of_alerts_is_that_of_the_rules():
    table = re.findall(r"^\| \[(Osteo\w+)\]\(#\w+\) \| (page|ticket) \|", PAGE.read_text(), re.MULTILINE)
    assert table == [(alert, rule["labels"]["severity"]) for alert, rule in ALERTS.items()]


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_case_that_fires_and_one_that_is_silent(alert: str):
    assert {fires for name, fires in CASES if name == alert} == {True, False}


@pytest.mark.skipif(
    None in (shutil.which("promtool"), shutil.which("amtool")),
    reason="there are no promtool and amtool: apt-get install prometheus prometheus-alertmanager",
)
def test_make_monitor_check_finds_rules_cases_and_routes_right():
    done = subprocess.run(["make", "monitor-check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout
    assert "\npage\nticket\n" in done.stdout


def test_make_monitor_check_without_its_tools_says_what_to_install(tmp_path):
    for program in ("bash", "wc", "grep"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    done = subprocess.run(
        [str(shutil.which("make")), "monitor-check"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "apt-get install prometheus prometheus-alertmanager" in done.stderr


def test_the_dashboards_are_what_their_module_generates():
    written = {name: (FOLDER / f"dashboards/{name}.json").read_text() for name in DASHBOARDS}
    assert written == generated(), "run python deploy/monitoring/dashboards.py"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_understood_by_the_models_of_grafana(name: str):
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    document = json.loads((FOLDER / f"dashboards/{name}.json").read_text())
    assert json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder)) == document


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_can_be_imported_beside_others(name: str):
    document = json.loads((FOLDER / f"dashboards/{name}.json").read_text())
    assert "id" not in document
    assert [variable["type"] for variable in document["templating"]["list"]] == ["datasource"]
    assert {panel["datasource"]["uid"] for panel in document["panels"]} == {"${datasource}"}
    for expression in expressions(document):
        assert "rate(" not in expression or "[$__rate_interval]" in expression


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool: apt-get install prometheus"
)
@pytest.mark.parametrize("label", ["role", "exported_role"])
def test_the_panel_of_models_counts_a_worker_once(label: str, tmp_path: Path):
    """`label` has the model's role: where the target has a label `role`, it is `exported_role`."""
    document = json.loads((FOLDER / "dashboards/model.json").read_text())
    (expression,) = (one for one in expressions(document) if "osteo_model_info" in one)
    target = 'role="inference", ' if label == "exported_role" else ""
    series = [
        {"series": f'osteo_model_info{{{target}name="m", version="{v}", {label}="{role}", instance="{i}"}}'}
        for v, role, i in (
            ("1", "active", "a"),
            ("2", "canary", "a"),
            ("1", "active", "b"),
            ("2", "shadow", "c"),
        )
    ]
    case = {
        "input_series": [one | {"values": "1"} for one in series],
        "promql_expr_test": [
            {
                "expr": expression,
                "eval_time": "0m",
                "exp_samples": [{"labels": '{name="m", version="1"}', "value": 2}],
            }
        ],
    }
    (tmp_path / "case.yml").write_text(yaml.safe_dump({"tests": [case]}))
    ran = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "case.yml")], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
