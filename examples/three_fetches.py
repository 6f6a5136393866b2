"""Three fetches side by side, filtered and summed where they are fetched, then one aggregate. No model takes part.

python examples/three_fetches.py
"""

import yaml
from start import HERE, Place, run


async def main(place: Place) -> None:
    document = yaml.safe_load((HERE / "workflows" / "three_fetches_aggregate.yaml").read_text("utf-8"))
    await place.client.put_workflow(document)
    row = next(row for row in await place.client.list_available_workflows() if row.name == document["name"])
    print(
        f"{row.tasks} tasks in {row.phases} phases, {row.parallelism:.0%} side by side, {row.time_saved:.0%} time saved"
    )
    answer = await place.client.ask("", workflow=document["name"])
    print(f"total {answer.output['total']}, average {answer.output['average']}, {answer.model_calls} model calls")


if __name__ == "__main__":
    run(main)
