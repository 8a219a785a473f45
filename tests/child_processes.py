"""Processes that are ready in milliseconds: children of a server that has imported everything once."""

import multiprocessing

child_processes = multiprocessing.get_context("forkserver")
child_processes.set_forkserver_preload(["foveate.compare.study", "foveate.models", "foveate.train"])
