"""One dynamic agent instead of an agent class per task: four parts, over real log files that the first lines write.

1 a workflow that comes with the platform, 2 missing data, 3 a workflow of one's own, 4 parallel against sequential.

python examples/dynamic_agents_demo.py
"""

from datetime import UTC, datetime, timedelta

from start import Place, run

from evolvent.events.language.workflow import ExecutionMode, TaskDefinition
from evolvent.orchestrator.logs.source import DiagnosticContext

PROBLEM = "security dashboard shows no firewall events"
CONTEXT = DiagnosticContext(earliest_time="-2h", latest_time="now", indexes=("security", "firewall"))
NETWORK_SECURITY = (
    TaskDefinition(
        task_id="firewall_connectivity",
        name="Firewall Connectivity Check",
        instructions="Check firewall data ingestion: list the indexes and say when the latest firewall event came.",
        required_tools=("list_indexes",),
        context_requirements=(),
        estimated_duration_seconds=2,
    ),
    TaskDefinition(
        task_id="threat_detection_status",
        name="Threat Detection Status",
        instructions="Verify threat detection: search `index=security threat` over the last two hours.",
        required_tools=("run_oneshot_search",),
        context_requirements=(),
        estimated_duration_seconds=2,
    ),
    TaskDefinition(
        task_id="network_baseline_analysis",
        name="Network Baseline Analysis",
        instructions="Analyze traffic: count the firewall events of the last week with `index=firewall | stats count`.",
        required_tools=("run_oneshot_search",),
        context_requirements=(),
        dependencies=("firewall_connectivity",),
        estimated_duration_seconds=2,
    ),
)


def write_logs(place: Place) -> None:
    """Write a firewall that fell silent three days ago, and a security log that goes on."""
    now = datetime.now(UTC)
    for index, line, until in (
        ("firewall", "action=blocked src=10.0.0.{0} dst=192.0.2.7 dport=22", now - timedelta(days=3)),
        ("security", "threat scan from 10.0.0.{0} reported", now),
    ):
        folder = place.logs / index
        folder.mkdir(parents=True, exist_ok=True)
        times = [until - timedelta(minutes=7 * (20 - n)) for n in range(20)]
        lines = [f"{when.isoformat(timespec='seconds')} {line.format(n)}\n" for n, when in enumerate(times)]
        (folder / f"{index}.log").write_text("".join(lines))


async def main(place: Place) -> None:
    write_logs(place)
    await basic(place)
    await missing_data(place)
    await custom(place)
    await comparison(place)


async def basic(place: Place) -> None:
    print("1  What there is, and the cheapest of it")
    for row in await place.client.list_available_workflows():
        if row.source == "system":
            print(f"   {row.name}: {row.parallelism:.1%} side by side, {row.time_saved:.0%} time saved")
    answer = await place.client.ask(
        "Is everything healthy?", workflow="health_check", context={"indexes": ["security"]}
    )
    tell(answer.output)


async def missing_data(place: Place) -> None:
    print(f"2  Missing data: {PROBLEM}")
    answer = await place.client.execute_missing_data_analysis(CONTEXT, PROBLEM)
    tell(answer.output)
    status = await place.client.get_workflow_status(answer.run_id)
    print(
        f"   {status.state}: {len(status.tasks)} tasks, {answer.model_calls} model and {answer.tool_calls} tool calls"
    )


async def custom(place: Place) -> None:
    print("3  A workflow of one's own: network security")
    workflow = place.client.create_custom_workflow_from_tasks(
        workflow_id="network_security_analysis",
        workflow_name="Network Security Analysis",
        task_definitions=NETWORK_SECURITY,
    )
    context = CONTEXT.model_dump(mode="json")
    async for step in place.client.execute_custom_workflow(workflow, context, PROBLEM):
        if step.type == "agent_completed" and step.data["text"]:
            print(f"   {step.data['task_id']}: {step.data['text']}")


async def comparison(place: Place) -> None:
    print("4  Parallel against sequential: the same four tasks")
    found = (await place.client.get_workflow("missing_data_troubleshooting")).workflow
    seconds = {}
    for mode in (ExecutionMode.SEQUENTIAL, ExecutionMode.PARALLEL):
        one = found.model_copy(update={"name": f"missing_data_{mode}", "mode": mode, "intents": ()})
        async for step in place.client.execute_custom_workflow(one, CONTEXT.model_dump(mode="json"), PROBLEM):
            if step.type == "workflow_completed":
                seconds[mode] = step.data["totals"]["duration_seconds"]
        print(f"   {mode}: {seconds[mode]:.2f} s")
    print(f"   {seconds[ExecutionMode.SEQUENTIAL] / seconds[ExecutionMode.PARALLEL]:.1f} times as fast")


def tell(output: object) -> None:
    """Print what each task found."""
    assert isinstance(output, dict)
    for name, found in output.items():
        print(f"   {name}: {found}")


if __name__ == "__main__":
    run(main)
