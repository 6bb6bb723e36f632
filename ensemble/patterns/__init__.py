"""How a group's parts make one result: for each item, round after round, by vote, as a race, as a plan, under a manager.

This folder's law: no I/O, no clock, no chance. A pattern is told how its parts ended and answers with more parts or with
the group's result, the same whenever it is told the same: that is how a run is taken up again where it stopped.
"""
