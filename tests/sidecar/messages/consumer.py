"""A consumer that dies in the middle of its work: killed after a number of deliveries, before it could acknowledge.

Arguments: the store's URL, the tenant, the file that takes down each acknowledged message, after how many deliveries it
dies (0: never). Ends by itself once the mailbox stays empty.
"""

from __future__ import annotations

import os
import signal
import sys

from ensemble.contract.mailboxes import Acknowledge, MailboxParams, Receive
from sidecar.messages.mailboxes import Mailboxes
from sidecar.store.connection import connect
from sidecar.waiting import Waiting


def main(url: str, tenant: str, path: str, dies_after: int) -> None:
    """Receive, take down, acknowledge; or die."""
    boxes, at = Mailboxes(connect(url), Waiting(1)), MailboxParams(trace_id="t", agent="market")
    taken = 0
    with open(path, "a", buffering=1, encoding="utf-8") as done:  # noqa: PTH123 -- appended line by line
        while True:
            got = boxes.receive(tenant, at, Receive(at_most=2, lease_ms=200, wait_ms=600)).deliveries
            if not got:
                return
            for delivery in got:
                taken += 1
                if taken == dies_after:
                    os.kill(os.getpid(), signal.SIGKILL)
                if boxes.acknowledge(tenant, at, Acknowledge(receipt=delivery.receipt)).acknowledged:
                    done.write(f"{delivery.message.message_id}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
