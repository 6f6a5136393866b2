"""What a task hands on: filtered, renamed, summed up, or cut out with JMESPath. Each is done once, where it is fetched.

python examples/transformations.py
"""

from start import Place, run

FETCH = {"tool": "fetch_records", "arguments": {"path": "history.json"}}
ONLY_ONE = {"type": "filter", "criteria": {"account_id": {"equals": "ACC-12345"}, "amount_usd": {"greater_than": 0}}}
STEPS = [
    {
        **FETCH,
        "step_id": "fetch_raw_data",
        "data_transformations": [ONLY_ONE, {"type": "map", "mapping": {"date": "on", "amount_usd": "usd"}}],
    },
    {
        **FETCH,
        "step_id": "process_data",
        "data_transformations": [
            {"type": "aggregate", "aggregate_type": "sum", "field": "amount_usd", "group_by": "account_id"}
        ],
    },
    {
        **FETCH,
        "step_id": "latest_event",
        "data_transformations": [{"type": "jmespath", "expression": "max_by(@, &date).event"}],
    },
]


async def main(place: Place) -> None:
    workflow = await place.client.create_workflow("Transformations", STEPS)
    answer = await place.client.ask("", workflow=workflow.name)
    print("filtered and mapped:", *answer.output["fetch_raw_data"], sep="\n  ")
    print("summed by account:  ", answer.output["process_data"])
    print("by JMESPath:        ", answer.output["latest_event"])


if __name__ == "__main__":
    run(main)
