"""The example workflows of the mission's documents, as data, in their own words."""

from __future__ import annotations

from typing import Any

ACCOUNT_ANALYSIS: list[dict[str, Any]] = [
    {
        "step_id": "fetch_account_data",
        "name": "Fetch Account Data",
        "description": "Retrieve account information from Zoho CRM",
        "agent_type": "zoho_scout",
        "agent_capability": "data_fetch",
        "estimated_duration": 5.0,
        "timeout_seconds": 30,
        "retry_count": 3,
    },
    {
        "step_id": "analyze_risk",
        "name": "Analyze Risk Factors",
        "description": "Perform comprehensive risk analysis",
        "agent_type": "risk_analyzer",
        "agent_capability": "analysis",
        "dependencies": ["fetch_account_data"],
        "estimated_duration": 3.0,
        "timeout_seconds": 30,
    },
    {
        "step_id": "get_historical_context",
        "name": "Get Historical Context",
        "description": "Retrieve historical patterns and trends",
        "agent_type": "memory_analyst",
        "agent_capability": "memory",
        "dependencies": ["fetch_account_data"],
        "estimated_duration": 2.0,
        "timeout_seconds": 30,
    },
    {
        "step_id": "generate_recommendations",
        "name": "Generate Recommendations",
        "description": "Create actionable recommendations",
        "agent_type": "recommender",
        "agent_capability": "recommendation",
        "dependencies": ["analyze_risk", "get_historical_context"],
        "estimated_duration": 4.0,
        "timeout_seconds": 30,
    },
]

_FETCHES = [
    {
        "step_id": f"fetch_data_{number}",
        "name": f"Fetch Data Source {number}",
        "agent_type": "data_fetcher",
        "agent_capability": "data_fetch",
        "estimated_duration": 2.0,
    }
    for number in (1, 2, 3)
]
PARALLEL: list[dict[str, Any]] = [
    *_FETCHES,
    {
        "step_id": "aggregate_results",
        "name": "Aggregate Results",
        "agent_type": "aggregator",
        "agent_capability": "analysis",
        "dependencies": ["fetch_data_1", "fetch_data_2", "fetch_data_3"],
        "estimated_duration": 1.0,
    },
]

TRANSFORMATIONS: list[dict[str, Any]] = [
    {
        "step_id": "fetch_raw_data",
        "name": "Fetch Raw Data",
        "agent_type": "data_fetcher",
        "agent_capability": "data_fetch",
        "data_transformations": [{"type": "filter", "criteria": {"status": {"equals": "active"}}}],
    },
    {
        "step_id": "process_data",
        "name": "Process Data",
        "agent_type": "processor",
        "agent_capability": "transformation",
        "dependencies": ["fetch_raw_data"],
        "data_transformations": [
            {"type": "map", "mapping": {"records": "processed_records"}},
            {"type": "aggregate", "aggregate_type": "sum"},
        ],
    },
]

ROBUST: list[dict[str, Any]] = [
    {
        "step_id": "critical_step",
        "name": "Critical Step",
        "agent_type": "specialist",
        "agent_capability": "analysis",
        "timeout_seconds": 60,
        "retry_count": 5,
        "retry_delay": 2.0,
    }
]

POOR: list[dict[str, Any]] = [
    {
        "step_id": "vague_step",
        "name": "Do Something",
        "agent_type": "generic",
        "agent_capability": "analysis",
        "estimated_duration": 0.1,
        "timeout_seconds": 1,
        "retry_count": 10,
    }
]

CORRECTED: list[dict[str, Any]] = [
    {"step_id": "A", "dependencies": []},
    {"step_id": "D", "dependencies": ["A"]},
    {"step_id": "B", "dependencies": ["D"]},
    {"step_id": "C", "dependencies": ["B"]},
]

MIGRATED: list[dict[str, Any]] = [
    {"step_id": "fetch", "name": "Fetch Data", "agent_type": "zoho_scout", "agent_capability": "data_fetch"},
    {
        "step_id": "analyze",
        "name": "Analyze",
        "agent_type": "memory_analyst",
        "agent_capability": "memory",
        "dependencies": ["fetch"],
    },
]

ACCOUNT_WORKFLOW: dict[str, Any] = {
    "name": "Account Analysis Workflow",
    "description": "Complete account analysis with risk assessment",
    "steps": ACCOUNT_ANALYSIS,
    "priority": "HIGH",
    "execution_mode": "ADAPTIVE",
    "context": {"account_id": "ACC-12345"},
}
PARALLEL_WORKFLOW: dict[str, Any] = {
    "name": "Parallel Data Processing",
    "steps": PARALLEL,
    "execution_mode": "parallel",
    "max_parallel_steps": 5,
}
STEP_LISTS = {
    "account": ACCOUNT_ANALYSIS,
    "parallel": PARALLEL,
    "transformations": TRANSFORMATIONS,
    "robust": ROBUST,
    "corrected": CORRECTED,
    "migrated": MIGRATED,
}
