"""Who runs the units of a job: a file per way.

An executor is a function of a job, names of units and ``quiet``. It calls ``job.run_units(names)`` in whatever process
it likes, as often as it likes, and returns how many mutants were run.
"""
