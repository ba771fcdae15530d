"""A deterministic simulation of several regions, some of which lie, in one process; see docs/simulation.md.

    python -m tests.simulation --seed 7              # run one schedule and print it
    python -m tests.simulation --schedules 20000     # the long profile

Honest regions run the real code. Clock, network, database faults and randomness come from the seed.
"""
