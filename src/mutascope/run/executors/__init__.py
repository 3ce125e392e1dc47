"""Who runs the units of a job: a file per way.

An executor is a function of the work (:class:`~mutascope.run.work.Work`: the mutants of a job, or the loci of a
prediction), of names of units and ``quiet``. It calls ``work.run_units(names)`` in whatever process it likes, as often
as it likes.
"""
