"""What the ledger answers, as pure rules of runs, breakers, budgets, slots, lineage and agents.

The law of this folder: no I/O, no clock, no chance. A record, a policy and the time give the next record and an answer.
"""
