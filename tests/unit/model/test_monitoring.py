"""What `monitoring:` in orchestrator.yaml may say."""

from pathlib import Path

import pytest

from orchestrator.model.load import load_instance_config
from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.model.problems import InvalidFile


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("true", MonitoringConfig(stack=True)),
        ("false", MonitoringConfig()),
        ("{stack: true, grafana_port: 3001}", MonitoringConfig(stack=True, grafana_port=3_001)),
        ("{listen: '[::1]:9464'}", MonitoringConfig(listen="[::1]:9464")),
    ],
)
def test_it_is_a_switch_or_says_more(tmp_path: Path, text: str, config: MonitoringConfig) -> None:
    file = tmp_path / "orchestrator.yaml"
    file.write_text(f"monitoring: {text}\n")

    assert load_instance_config(file).monitoring == config


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{stack: perhaps}", "monitoring.stack"),
        ("{listen: 'localhost:9464'}", "monitoring.listen"),
        ("{listen: '127.0.0.1:99999'}", "monitoring.listen"),
        ("{prometheus_port: 0}", "monitoring.prometheus_port"),
        ("{grafana: true}", "monitoring.grafana"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, field: str) -> None:
    file = tmp_path / "orchestrator.yaml"
    file.write_text(f"monitoring: {text}\n")

    with pytest.raises(InvalidFile, match=field.replace(".", r"\.")):
        load_instance_config(file)
