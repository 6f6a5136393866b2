"""Four steps of an account analysis, followed as they happen: two of them side by side, each with an agent of its own.

python examples/account_analysis.py
"""

from start import Place, run

AGENTS = (
    ("zoho_scout", "ZohoDataScout", ["data_fetch"], 3),
    ("risk_analyzer", "RiskAnalyzer", ["analysis", "validation"], 2),
    ("memory_analyst", "MemoryAnalyst", ["memory"], 2),
    ("recommender", "Recommender", ["recommendation"], 2),
)
STEPS = [
    {
        "step_id": "fetch_account_data",
        "instructions": "Fetch the account with `fetch_account` and repeat its record.",
        "agent_type": "zoho_scout",
        "agent_capability": "data_fetch",
        "required_tools": ["fetch_account"],
        "context_requirements": ["account_id"],
        "estimated_duration": 5.0,
        "timeout_seconds": 30,
        "retry_count": 3,
    },
    {
        "step_id": "analyze_risk",
        "instructions": "Name the risk factors of the account, the heaviest first.",
        "agent_type": "risk_analyzer",
        "agent_capability": "analysis",
        "required_tools": [],
        "context_requirements": [],
        "dependencies": ["fetch_account_data"],
        "estimated_duration": 3.0,
    },
    {
        "step_id": "get_historical_context",
        "instructions": "Call `fetch_history` and say how the account developed.",
        "agent_type": "memory_analyst",
        "agent_capability": "memory",
        "required_tools": ["fetch_history"],
        "context_requirements": ["account_id"],
        "dependencies": ["fetch_account_data"],
        "estimated_duration": 2.0,
    },
    {
        "step_id": "generate_recommendations",
        "instructions": "From risks and history, recommend at most three steps.",
        "agent_type": "recommender",
        "agent_capability": "recommendation",
        "required_tools": [],
        "context_requirements": [],
        "dependencies": ["analyze_risk", "get_historical_context"],
        "estimated_duration": 4.0,
    },
]


async def main(place: Place) -> None:
    client = place.client
    for agent_id, agent_type, capabilities, tasks in AGENTS:
        await client.register_agent(agent_id, agent_type, capabilities, max_concurrent_tasks=tasks)
    workflow = await client.create_workflow(
        "Account Analysis Workflow",
        STEPS,
        description="Complete account analysis with risk assessment",
        priority="high",
        execution_mode="adaptive",
    )
    context = {"account_id": "ACC-12345"}
    async for step in client.execute_custom_workflow(workflow, context, "How is this account?"):
        match step.type, step.data:
            case "workflow_started", _:
                print(f"workflow: {workflow.title}, {len(workflow.tasks)} steps")
            case "agent_started", data if data["turn"] == 0:
                print(f"started: {data['task_id']} by {data['agent_id']}")
            case "agent_completed", data if data["text"]:
                print(f"completed: {data['task_id']}: {data['text']}")
            case "agent_error", data:
                print(f"failed: {data['task_id']}: {data['error']['message']}")
            case "workflow_completed", data:
                seconds = data["totals"]["duration_seconds"]
                print(f"success rate {data['success_rate']:.1%}, execution time {seconds:.2f} s")


if __name__ == "__main__":
    run(main)
