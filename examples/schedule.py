"""A workflow every morning at half past seven, and once right now. Each planned time is run once.

python examples/schedule.py
"""

from start import Place, run

COUNT = [{"step_id": "count", "tool": "calculate_metrics", "arguments": {"values": [1, 2, 3]}}]


async def main(place: Place) -> None:
    client = place.client
    made = await client.create_workflow("Morning count", COUNT)
    row = await client.add_schedule(
        "digest", "Count", cron="30 7 * * mon-fri", timezone="Europe/Berlin", workflow=made.name
    )
    print(f"{row.name}: {row.cron} {row.timezone}")
    print("planned:", [each.name for each in await client.list_schedules()])
    await client.remove_schedule("digest")
    print("left:", [each.name for each in await client.list_schedules()])


if __name__ == "__main__":
    run(main)
