"""Seamark: from defect-free photographs to defect masks and a checked archive. Only wiring; ideas live in src/seamark."""

import sys
from pathlib import Path
from time import time

PROJECT = Path(workflow.basedir)
sys.path.insert(0, str(PROJECT / "src"))

from seamark.planning.environment import hide_places, prepare_environment
from seamark.planning.outcome import print_outcome
from seamark.planning.expected_params import expected_params
from seamark.planning.scoring_models import scoring_models
from seamark.repair import export_configuration
from seamark.teachers.naming import teacher_path
from seamark.planning.plan import Plan


configfile: "config.yaml"


prepare_environment(PROJECT, on_node=workflow.remote_exec)
export_configuration(
    workflow.config_settings.configfiles, workflow.config_settings.config
)
plan = Plan(config, PROJECT)
RUN, OUT = plan.out, "out/{place}"
tile_file = str if plan.config.keep_tiles else temp
if "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", plan.gpus)
GPUS = workflow.global_resources["gpu"].value


def refines_with_network(wildcards):
    return plan.settings("refine")(wildcards)["method"] == "sam"


def refine_gpus(wildcards):
    return int(refines_with_network(wildcards))


def refine_threads(wildcards):
    return 3 if GPUS and refines_with_network(wildcards) else 1


def for_a_fit(files):
    def wanted(wildcards):
        return files(wildcards) if plan.settings("ranking")(wildcards) else []

    return wanted


def every_calibration(wildcards):
    return plan.per_category("50_calibration/{category}.json")


wildcard_constraints:
    **plan.wildcards,


localrules:
    submission,
    plan,
    report_page,
    evaluation,
    previews,
    masks,
    maps,
    models,
    compare,
    ablate,


onstart:
    plan.require_weights(workflow.dag.needrun_jobs())
    plan.forecast.require_room(
        workflow.dag.needrun_jobs(),
        workflow.global_resources,
        local=workflow.local_exec,
    )
    plan.claim_run_folder()


onsuccess:
    print_outcome(plan.run)


rule submission:
    """Everything: archive, check, evaluation, previews and report."""
    input:
        plan.archive,
    message:
        "Archive, report and everything on the way are there"


rule report_page:
    """The report, with everything that it shows."""
    input:
        plan.report_files,
    message:
        "The report and everything on the way are there"


rule evaluation:
    """Scores on every split whose truth is known."""
    input:
        plan.on_the_way("evaluate"),
    message:
        "Every known truth is compared"


rule previews:
    """Overlay strips and contact sheets."""
    input:
        plan.on_the_way("preview"),
    message:
        "Every preview is drawn"


rule masks:
    """Refined masks of every category and split."""
    input:
        plan.on_the_way("refine"),
    message:
        "Every mask is refined"


rule maps:
    """Fused anomaly maps of every category and split."""
    input:
        plan.on_the_way("fuse"),
    message:
        "Every anomaly map is there"


rule models:
    """Trained models of every category."""
    input:
        plan.on_the_way("train"),
    message:
        "Every model is trained"


rule compare:
    """The page that compares the run with its variations and with other runs."""
    input:
        f"{RUN}/comparison/index.html",
        plan.behind_rows("compare"),
    message:
        "The comparison {input[0]} and everything on the way are there"


rule ablate:
    """The page of the ablation."""
    input:
        f"{RUN}/ablation/index.html",
        plan.behind_rows("ablate"),
    message:
        "The ablation {input[0]} and everything on the way are there"


rule plan:
    output:
        plan=f"{RUN}/plan.json",
        text=f"{RUN}/plan.txt",
    log:
        f"{RUN}/logs/plan.log",
    benchmark:
        f"{RUN}/benchmarks/plan.tsv"
    threads: 1
    resources:
        gpu=1,
        mem_mb=plan.forecast.measuring,
    params:
        config=plan.raw,
        project=str(PROJECT),
        limits=plan.forecast.limits(
            workflow.global_resources, local=workflow.local_exec
        ),
        asked_at=time(),
        code=plan.code("plan"),
    message:
        "Measuring what the target submission will take"
    script:
        "stages/plan.py"


rule demo:
    output:
        manifest=plan.demo_manifest,
    log:
        f"{RUN}/logs/demo.log",
    benchmark:
        f"{RUN}/benchmarks/demo.tsv"
    threads: 2
    resources:
        mem_mb=plan.memory("demo"),
    params:
        settings=plan.settings("demo"),
        root=plan.root,
        truth_root=plan.truth_root,
        code=plan.code("demo"),
    message:
        "Drawing the demo photographs"
    script:
        "stages/demo.py"


rule index:
    input:
        demo=plan.index_inputs,
    output:
        manifest=f"{RUN}/00_index/{{category}}.json",
    log:
        f"{RUN}/logs/index/{{category}}.log",
    benchmark:
        f"{RUN}/benchmarks/index/{{category}}.tsv"
    threads: 1
    resources:
        mem_mb=plan.memory("index"),
    params:
        root=plan.root,
        layout=plan.config.data.layout,
        train_images=plan.config.data.train_images,
        image_px_max=plan.config.data.image_px_max,
        seed=plan.config.seed,
        files=plan.listing,
        code=plan.code("index"),
    message:
        "Listing and checking the images of {wildcards.category}"
    script:
        "stages/index.py"


rule truth:
    input:
        index=rules.index.output.manifest,
    output:
        manifest=f"{RUN}/00_index/{{category}}.truth.json",
    log:
        f"{RUN}/logs/truth/{{category}}.log",
    benchmark:
        f"{RUN}/benchmarks/truth/{{category}}.tsv"
    threads: 1
    resources:
        mem_mb=plan.memory("truth"),
    params:
        root=plan.root,
        truth_root=plan.truth_root,
        files=plan.truth_listing,
        code=plan.code("truth"),
    message:
        "Gathering the known truth of {wildcards.category}"
    script:
        "stages/truth.py"


rule crop:
    input:
        index=rules.index.output.manifest,
    output:
        manifest=tile_file(f"{OUT}/10_tiles/{{grid}}/{{category}}/{{split}}.json"),
        tiles=tile_file(f"{OUT}/10_tiles/{{grid}}/{{category}}/{{split}}.npy"),
    log:
        f"{OUT}/logs/crop/{{grid}}/{{category}}/{{split}}.log",
    benchmark:
        f"{OUT}/benchmarks/crop/{{grid}}/{{category}}/{{split}}.tsv"
    threads: 1
    resources:
        mem_mb=plan.memory("crop"),
    params:
        settings=plan.settings("grid"),
        light_variants=plan.settings("light_variants"),
        root=plan.root,
        code=plan.code("crop"),
    message:
        "Cutting {wildcards.category} {wildcards.split} into tiles ({wildcards.grid})"
    script:
        "stages/crop.py"


rule distill:
    input:
        demo=plan.index_inputs,
    output:
        manifest=teacher_path("{teacher}", ".json"),
        weights=teacher_path("{teacher}", ".safetensors"),
    log:
        teacher_path("{teacher}", ".log"),
    benchmark:
        teacher_path("{teacher}", ".tsv")
    priority: 40
    threads: 4 if GPUS else 1
    resources:
        gpu=1,
        mem_mb=plan.memory("distill"),
    params:
        settings=plan.teacher_settings,
        root=plan.root,
        layout=plan.config.data.layout,
        train_images=plan.config.data.train_images,
        image_px_max=plan.config.data.image_px_max,
        seed=plan.config.seed,
        code=plan.code("distill"),
    message:
        "Distilling the teacher {wildcards.teacher}"
    script:
        "stages/distill.py"


rule train:
    input:
        teacher=plan.teacher,
        train=plan.made("crop", rules.crop.output.manifest, "train"),
        train_npy=plan.made("crop", rules.crop.output.tiles, "train"),
        validation=plan.made("crop", rules.crop.output.manifest, "validation"),
        validation_npy=plan.made("crop", rules.crop.output.tiles, "validation"),
    output:
        manifest=f"{OUT}/20_models/{{detector}}/{{category}}/fit.json",
        model=f"{OUT}/20_models/{{detector}}/{{category}}/model.safetensors",
    log:
        f"{OUT}/logs/train/{{detector}}/{{category}}.log",
    benchmark:
        f"{OUT}/benchmarks/train/{{detector}}/{{category}}.tsv"
    priority: 30
    threads: 4 if GPUS else 1
    resources:
        gpu=1,
        mem_mb=plan.memory("train"),
    params:
        settings=plan.settings("detector"),
        detector=plan.detector_class,
        name="{detector}",
        seed=plan.config.seed,
        code=plan.code("train"),
    message:
        "Training {wildcards.detector} on {wildcards.category}"
    script:
        "stages/train.py"


use rule train as train_fold with:
    output:
        manifest=f"{OUT}/20_models/{{detector}}/{{category}}/fold_{{fold}}/fit.json",
        model=f"{OUT}/20_models/{{detector}}/{{category}}/fold_{{fold}}/model.safetensors",
    log:
        f"{OUT}/logs/train_fold/{{detector}}/{{category}}/{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/train_fold/{{detector}}/{{category}}/{{fold}}.tsv"
    params:
        settings=plan.settings("detector"),
        crossfit=plan.settings("crossfit"),
        detector=plan.detector_class,
        name="{detector}",
        seed=plan.config.seed,
        code=plan.code("train"),
    message:
        "Training {wildcards.detector} on {wildcards.category} without fold {wildcards.fold}"


rule infer:
    input:
        model=scoring_models(
            plan.made("train", rules.train.output.manifest),
            plan.made("train_fold", rules.train_fold.output.manifest),
        ),
        weights=scoring_models(
            plan.made("train", rules.train.output.model),
            plan.made("train_fold", rules.train_fold.output.model),
        ),
        teacher=plan.teacher,
        tiles=plan.made("crop", rules.crop.output.manifest),
        tiles_npy=plan.made("crop", rules.crop.output.tiles),
    output:
        manifest=f"{OUT}/30_tilemaps/{{detector}}/{{category}}/{{split}}.json",
        maps=f"{OUT}/30_tilemaps/{{detector}}/{{category}}/{{split}}.npy",
    log:
        f"{OUT}/logs/infer/{{detector}}/{{category}}/{{split}}.log",
    benchmark:
        f"{OUT}/benchmarks/infer/{{detector}}/{{category}}/{{split}}.tsv"
    priority: 20
    threads: 3 if GPUS else 1
    resources:
        gpu=1,
        mem_mb=plan.memory("infer"),
    params:
        settings=plan.settings("detector"),
        detector=plan.detector_class,
        name="{detector}",
        seed=plan.config.seed,
        code=plan.code("infer"),
    message:
        "Scoring the tiles of {wildcards.category} {wildcards.split} with {wildcards.detector}"
    script:
        "stages/infer.py"


rule merge:
    input:
        tiles=plan.made("crop", rules.crop.output.manifest),
        tilemaps=plan.made("infer", rules.infer.output.manifest),
        tilemaps_npy=plan.made("infer", rules.infer.output.maps),
    output:
        manifest=f"{OUT}/40_maps/{{detector}}/{{category}}/{{split}}.json",
    log:
        f"{OUT}/logs/merge/{{detector}}/{{category}}/{{split}}.log",
    benchmark:
        f"{OUT}/benchmarks/merge/{{detector}}/{{category}}/{{split}}.tsv"
    threads: 1
    resources:
        mem_mb=plan.memory("merge"),
    params:
        settings=plan.settings("merge"),
        code=plan.code("merge"),
    message:
        "Merging the tile maps of {wildcards.category} {wildcards.split} ({wildcards.detector})"
    script:
        "stages/merge.py"


rule fuse:
    input:
        maps=plan.made("merge", rules.merge.output.manifest),
        validation=plan.made("merge", rules.merge.output.manifest, "validation"),
    output:
        manifest=f"{OUT}/45_fused/{{category}}/{{split}}.json",
    log:
        f"{OUT}/logs/fuse/{{category}}/{{split}}.log",
    benchmark:
        f"{OUT}/benchmarks/fuse/{{category}}/{{split}}.tsv"
    threads: 1
    resources:
        mem_mb=plan.memory("fuse"),
    params:
        settings=plan.settings("fuse"),
        code=plan.code("fuse"),
    message:
        "Fusing the anomaly maps of {wildcards.category} {wildcards.split}"
    script:
        "stages/fuse.py"


rule calibrate:
    input:
        maps=plan.made("fuse", rules.fuse.output.manifest, "calibrated"),
    output:
        manifest=f"{OUT}/50_calibration/{{category}}.json",
        histogram=f"{OUT}/50_calibration/{{category}}.npy",
    log:
        f"{OUT}/logs/calibrate/{{category}}.log",
    benchmark:
        f"{OUT}/benchmarks/calibrate/{{category}}.tsv"
    threads: 1
    resources:
        mem_mb=plan.memory("calibrate"),
    params:
        settings=plan.settings("calibrate"),
        code=plan.code("calibrate"),
    message:
        "Counting the scores of {wildcards.category}"
    script:
        "stages/calibrate.py"


rule binarize:
    input:
        maps=plan.made("fuse", rules.fuse.output.manifest),
        calibration=plan.made("calibrate", rules.calibrate.output.manifest),
    output:
        manifest=f"{OUT}/60_coarse/{{category}}/{{split}}.json",
    log:
        f"{OUT}/logs/binarize/{{category}}/{{split}}.log",
    benchmark:
        f"{OUT}/benchmarks/binarize/{{category}}/{{split}}.tsv"
    threads: 1
    resources:
        mem_mb=plan.memory("binarize"),
    params:
        settings=plan.settings("binarize"),
        code=plan.code("binarize"),
    message:
        "Thresholding the maps of {wildcards.category} {wildcards.split}"
    script:
        "stages/binarize.py"


rule refine:
    input:
        index=rules.index.output.manifest,
        masks=plan.made("binarize", rules.binarize.output.manifest),
    output:
        manifest=f"{OUT}/70_refined/{{category}}/{{split}}.json",
    log:
        f"{OUT}/logs/refine/{{category}}/{{split}}.log",
    benchmark:
        f"{OUT}/benchmarks/refine/{{category}}/{{split}}.tsv"
    priority: 10
    threads: refine_threads
    resources:
        gpu=refine_gpus,
        mem_mb=plan.memory("refine"),
    params:
        settings=plan.settings("refine"),
        root=plan.root,
        code=plan.code("refine"),
    message:
        "Refining the masks of {wildcards.category} {wildcards.split}"
    script:
        "stages/refine.py"


rule preview:
    input:
        index=rules.index.output.manifest,
        truth=rules.truth.output.manifest,
        maps=plan.made("fuse", rules.fuse.output.manifest),
        calibration=plan.made("calibrate", rules.calibrate.output.manifest),
        coarse=plan.made("binarize", rules.binarize.output.manifest),
        refined=plan.made("refine", rules.refine.output.manifest),
    output:
        manifest=f"{OUT}/80_preview/{{category}}/{{split}}.json",
    log:
        f"{OUT}/logs/preview/{{category}}/{{split}}.log",
    benchmark:
        f"{OUT}/benchmarks/preview/{{category}}/{{split}}.tsv"
    threads: 1
    resources:
        mem_mb=plan.memory("preview"),
    params:
        settings=plan.settings("preview"),
        root=plan.root,
        truth_root=plan.truth_root,
        code=plan.code("preview"),
    message:
        "Drawing previews of {wildcards.category} {wildcards.split}"
    script:
        "stages/preview.py"


rule evaluate:
    input:
        index=rules.index.output.manifest,
        truth=rules.truth.output.manifest,
        maps=plan.made("fuse", rules.fuse.output.manifest, "every"),
        calibration=for_a_fit(plan.made("calibrate", rules.calibrate.output.manifest)),
        coarse=plan.made("binarize", rules.binarize.output.manifest, "every"),
        refined=plan.made("refine", rules.refine.output.manifest, "every"),
    output:
        manifest=f"{OUT}/90_eval/{{category}}.json",
        curves=f"{OUT}/90_eval/{{category}}.curves.csv",
    log:
        f"{OUT}/logs/evaluate/{{category}}.log",
    benchmark:
        f"{OUT}/benchmarks/evaluate/{{category}}.tsv"
    threads: 1
    resources:
        mem_mb=plan.memory("evaluate"),
    params:
        settings=plan.settings("evaluate"),
        grids=plan.settings("grids"),
        ranking=plan.settings("ranking"),
        root=plan.root,
        truth_root=plan.truth_root,
        code=plan.code("evaluate"),
    message:
        "Scoring {wildcards.category} against the known truth"
    script:
        "stages/evaluate.py"


rule package:
    input:
        index=plan.per_category("00_index/{category}.json"),
        maps=plan.packaged("45_fused"),
        calibration=for_a_fit(every_calibration),
        masks=plan.packaged("70_refined"),
    output:
        archive=f"submissions/{plan.run}.tar.gz",
        check=f"submissions/{plan.run}.check.json",
        provenance=f"submissions/{plan.run}.provenance.json",
    log:
        f"{RUN}/logs/package.log",
    benchmark:
        f"{RUN}/benchmarks/package.tsv"
    threads: 4
    resources:
        mem_mb=plan.memory("package"),
    params:
        settings=plan.settings("package"),
        ranking=plan.settings("ranking"),
        run=plan.run,
        root=plan.root,
        challenges=plan.challenges,
        code=plan.code("package"),
    message:
        "Writing and checking submissions/{plan.run}.tar.gz"
    script:
        "stages/package.py"


rule report:
    input:
        index=plan.per_category("00_index/{category}.json"),
        fit=plan.fits(),
        calibration=plan.per_category("50_calibration/{category}.json"),
        coarse=plan.per_category_and_split("60_coarse"),
        refined=plan.per_category_and_split("70_refined"),
        evaluation=plan.per_category("90_eval/{category}.json"),
        curves=plan.per_category("90_eval/{category}.curves.csv"),
        preview=plan.per_category_and_split("80_preview"),
        check=plan.check_report(),
    output:
        page=f"{RUN}/report/index.html",
        plots=f"{RUN}/report/plots/plots.json",
        summary=f"{RUN}/90_eval/summary.csv",
    log:
        f"{RUN}/logs/report.log",
    benchmark:
        f"{RUN}/benchmarks/report.tsv"
    threads: 1
    resources:
        mem_mb=plan.memory("report"),
    params:
        settings=plan.settings("report"),
        run=plan.run,
        benchmarks=f"{RUN}/benchmarks",
        config=plan.resolved_config(),
        code=plan.code("report"),
    message:
        "Writing the report {RUN}/report/index.html"
    script:
        "stages/report.py"


rule comparison:
    input:
        unpack(plan.compared_files("compare")),
    output:
        page=f"{RUN}/comparison/index.html",
        table=f"{RUN}/comparison/table.csv",
        markdown=f"{RUN}/comparison/table.md",
    log:
        f"{RUN}/logs/comparison.log",
    benchmark:
        f"{RUN}/benchmarks/comparison.tsv"
    threads: 2
    resources:
        mem_mb=plan.memory("comparison"),
    params:
        settings=plan.comparison_settings(),
        title=f"{plan.run} and others",
        runs=plan.compared_rows("compare"),
        root=plan.root,
        truth_root=plan.truth_root,
        code=plan.code("comparison"),
    message:
        "Writing the comparison {output.page}"
    script:
        "stages/comparison.py"


use rule comparison as ablation with:
    input:
        unpack(plan.compared_files("ablate")),
    output:
        page=f"{RUN}/ablation/index.html",
        table=f"{RUN}/ablation/table.csv",
        markdown=f"{RUN}/ablation/table.md",
    log:
        f"{RUN}/logs/ablation.log",
    benchmark:
        f"{RUN}/benchmarks/ablation.tsv"
    params:
        settings=plan.comparison_settings(),
        title=f"{plan.run}: ablation",
        runs=plan.compared_rows("ablate"),
        root=plan.root,
        truth_root=plan.truth_root,
        code=plan.code("comparison"),
    message:
        "Writing the ablation {output.page}"


rule verify:
    """Every artifact that is there, against its manifest and its provenance; makes nothing."""
    log:
        f"{RUN}/logs/verify.log",
    threads: 16
    resources:
        mem_mb=plan.memory("verify"),
    params:
        run=plan.run,
        root=plan.root,
        truth_root=plan.truth_root,
        demo=plan.index_inputs,
        expected=expected_params(plan, workflow.rules),
    message:
        "Comparing every artifact with its manifest"
    script:
        "stages/verify.py"


hide_places(workflow.rules)
