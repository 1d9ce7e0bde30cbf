"""A control process for tests: passes on to the parent what a test asks of it, and keeps what the parent notifies."""

import asyncio
import json
import os
import socket
import sys
from typing import Any

from skysail.wire.link import Link, open_link, serve_links

SPEC = json.loads(sys.argv[sys.argv.index("--spec") + 1])


async def main() -> None:
    """Relay until the parent is gone."""
    events: list[Any] = []

    def notified(_: Link, op: str, args: dict[str, Any], /) -> None:
        events.append([op, args])

    parent = await open_link(socket.socket(fileno=SPEC["link_fd"]), notified)

    def asked(_: Link, op: str, args: dict[str, Any], /) -> Any:
        if op == "events":
            return events
        if op == "die":
            os._exit(args["code"])
        return parent.call(op, **args)

    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve_links(socket.socket(fileno=SPEC["control_fd"]), asked, lambda link: None))
        await parent.run()
        serving.cancel()


asyncio.run(main())
