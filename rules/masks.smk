"""From anomaly maps to masks."""


rule binarize:
    input:
        maps=run.made("fuse"),
        calibration=run.made("calibrate"),
        normal=run.made("calibrate", split="thresholds"),
        normal_maps=run.if_weighed(run.made("fuse", split="thresholds")),
    output:
        manifest="out/{place}/60_coarse/{category}/{split}.json",
    log:
        run.log("binarize"),
    benchmark:
        run.benchmark("binarize")
    resources:
        mem_mb=run.memory("binarize"),
    params:
        settings=run.settings("binarize"),
        code=run.code("binarize"),
    message:
        "Thresholding the maps of {wildcards.category} {wildcards.split}"
    script:
        "../stages/binarize.py"


rule refine:
    input:
        index=run.made("index"),
        maps=run.made("fuse"),
        masks=run.made("binarize"),
    output:
        manifest="out/{place}/70_refined/{category}/{split}.json",
    log:
        run.log("refine"),
    benchmark:
        run.benchmark("refine")
    priority: 10
    threads: run.threads("refine", GPUS)
    resources:
        gpu=run.gpu("refine"),
        mem_mb=run.memory("refine"),
    params:
        settings=run.settings("refine"),
        root=without_effect(run.root),
        code=run.code("refine"),
    message:
        "Refining the masks of {wildcards.category} {wildcards.split}"
    script:
        "../stages/refine.py"


rule verdict:
    input:
        maps=run.made("fuse"),
        calibration=run.made("calibrate"),
        normal=run.made("calibrate", split="thresholds"),
        masks=run.made("refine"),
    output:
        manifest="out/{place}/75_verdicts/{category}/{split}.json",
        verdicts="out/{place}/75_verdicts/{category}/{split}.verdicts.json",
    log:
        run.log("verdict"),
    benchmark:
        run.benchmark("verdict")
    resources:
        mem_mb=run.memory("verdict"),
    params:
        settings=run.settings("verdict"),
        binarize=run.settings("binarize"),
        code=run.code("verdict"),
    message:
        "Judging the images of {wildcards.category} {wildcards.split}"
    script:
        "../stages/verdict.py"
