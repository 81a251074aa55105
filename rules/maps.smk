"""From raw scores of tiles to one anomaly map per photograph, and the statistics of its scores."""


rule merge:
    input:
        tiles=run.made("crop"),
        tilemaps=run.made("infer"),
        tilemaps_npy=run.made("infer", "maps"),
    output:
        manifest="out/{place}/40_maps/{detector}/{category}/{split}.json",
    log:
        run.log("merge"),
    benchmark:
        run.benchmark("merge")
    resources:
        mem_mb=run.memory("merge"),
    params:
        settings=run.settings("merge"),
        code=run.code("merge"),
    message:
        "Merging the tile maps of {wildcards.category} {wildcards.split} ({wildcards.detector})"
    script:
        "../stages/merge.py"


rule fuse:
    input:
        maps=run.made("merge"),
        validation=run.made("merge", split="validation"),
    output:
        manifest="out/{place}/45_fused/{category}/{split}.json",
    log:
        run.log("fuse"),
    benchmark:
        run.benchmark("fuse")
    resources:
        mem_mb=run.memory("fuse"),
    params:
        settings=run.settings("fuse"),
        code=run.code("fuse"),
    message:
        "Fusing the anomaly maps of {wildcards.category} {wildcards.split}"
    script:
        "../stages/fuse.py"


rule calibrate:
    input:
        maps=run.made("fuse"),
    output:
        manifest="out/{place}/50_calibration/{category}/{split}.json",
        histogram="out/{place}/50_calibration/{category}/{split}.npy",
    log:
        run.log("calibrate"),
    benchmark:
        run.benchmark("calibrate")
    resources:
        mem_mb=run.memory("calibrate"),
    params:
        settings=run.settings("calibrate"),
        code=run.code("calibrate"),
    message:
        "Counting the scores of {wildcards.category} {wildcards.split}"
    script:
        "../stages/calibrate.py"
