"""Ingests of a small take, for the tests of ingest."""

import olatkit.jobs.ingest as job

NAMES = ("take.cine", "rig.json", "schedule.json")


def run(folder, out, **given):
    return job.ingest(*(folder / name for name in NAMES), out, **{"scheduler": "sync", **given})


def leftovers(out):
    return sorted(p.name for p in out.parent.iterdir() if p.name.startswith(out.name))
