"""Cloud TPU machines by way of gcloud.

In: a program with its flags, machines to run it on. Out: gcloud commands, run one after another,
again where a spot machine is taken away. Start with `tpu_job.py`.
"""
