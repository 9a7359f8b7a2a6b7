# Artifacts of experiments.yml -> trained models -> executed notebooks -> book.
# `make book` runs this; on a Slurm cluster: snakemake --profile slurm --config profile=paper
# Outputs are stamps: Snakemake deletes the outputs of an interrupted job, and a finished model must survive that.
import os
import shlex
import sys

sys.path.insert(0, workflow.basedir)
from press.plan import experiments, settings
from press.run import devices, places
from press.run import training
from press.run import workflow as whole

places.settle_environment()
PROFILE = config.get("profile", "quick")
experiments.check_profile(PROFILE)
os.environ["PYTHONPATH"] = str(settings.ROOT)
PRESS = f"{shlex.quote(sys.executable)} -m press"
# what is left to do is decided here, by contents and not by dates, and once: single jobs read this file as well
if workflow.is_main_process:
    whole.forget(PROFILE)

# the trainings are small: two side by side on one core each are faster than one on two
THREADS = places.THREADS
# what begins last leaves the other cores idle: trainings first, then the figures that take long in the quick book
TRAINING, LONG, SHORT = 2, 1, 0
LONG_KINDS = ("robustness", "report", "population", "variants")
GPU = devices.needed(PROFILE)


workdir: experiments.build_dir(PROFILE)


def models(wildcards):
    return sorted(set(experiments.artifact(PROFILE, wildcards.artifact).models.values()))


def urgency(wildcards):
    return LONG if experiments.artifact(PROFILE, wildcards.artifact).notebook in LONG_KINDS else SHORT


# every step is a target: Snakemake would not make a lost model again while its figures are there
rule all:
    input:
        [f"done/{step}/{name}" for step, name in whole.all_steps(PROFILE)],


rule book:
    input:
        expand("done/execute/{artifact}", artifact=experiments.keys(PROFILE)),
    output:
        "done/book/html",
    log:
        "logs/book-html.log",
    resources:
        mem_mb=4000,
        runtime=20,
    shell:
        "{PRESS} site --profile {PROFILE} --step 2> {log:q}"


rule execute:
    input:
        lambda wildcards: [f"done/train/{name}" for name in models(wildcards)],
        lambda wildcards: sorted({f"done/data/{whole.data_step(name, PROFILE)}" for name in models(wildcards)}),
    output:
        "done/execute/{artifact}",
    log:
        "logs/execute-{artifact}.log",
    priority: urgency
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=8000,
        runtime=240,
    shell:
        "{PRESS} execute {wildcards.artifact:q} --profile {PROFILE} --step 2> {log:q}"


rule train:
    input:
        lambda wildcards: "done/data/" + whole.data_step(wildcards.model, PROFILE),
        lambda wildcards: [f"done/train/{name}" for name in training.sources(wildcards.model, PROFILE)],
    output:
        "done/train/{model}",
    log:
        "logs/train-{model}.log",
    priority: TRAINING
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=8000,
        runtime=720,
    shell:
        "{PRESS} train {wildcards.model:q} --profile {PROFILE} --step 2> {log:q}"


rule data:
    output:
        "done/data/{data}",
    params:
        name=lambda wildcards: whole.data_sets(PROFILE)[wildcards.data],
    log:
        "logs/data-{data}.log",
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "{PRESS} data {params.name:q} --profile {PROFILE} --step 2> {log:q}"
