"""From photographs to tiles."""


rule index:
    input:
        demo=run.made("demo"),
    output:
        manifest=f"{RUN}/00_index/{{category}}/{{split}}.json",
    log:
        run.log("index"),
    benchmark:
        run.benchmark("index")
    resources:
        mem_mb=run.memory("index"),
    params:
        root=without_effect(run.root),
        layout=run.config.data.layout,
        chosen=run.photographs.chosen,
        image_px_max=without_effect(run.config.data.image_px_max),
        pixels=run.photographs.pixels,
        files=run.photographs.listing,
        code=run.code("index"),
    message:
        "Listing and checking the images of {wildcards.category} {wildcards.split}"
    script:
        "../stages/index.py"


rule inventory:
    input:
        index=run.made("index", split="all"),
    output:
        manifest=f"{RUN}/00_index/{{category}}.json",
    log:
        run.log("inventory"),
    benchmark:
        run.benchmark("inventory")
    priority: 50
    resources:
        mem_mb=run.memory("inventory"),
    params:
        root=without_effect(run.root),
        layout=run.config.data.layout,
        files=run.photographs.passed_over,
        rules=run.config.package.rules,
        code=run.code("inventory"),
    message:
        "Taking stock of {wildcards.category}"
    script:
        "../stages/inventory.py"


rule truth:
    input:
        index=run.made("index"),
    output:
        manifest=f"{RUN}/00_index/{{category}}/{{split}}.truth.json",
    log:
        run.log("truth"),
    benchmark:
        run.benchmark("truth")
    resources:
        mem_mb=run.memory("truth"),
    params:
        root=without_effect(run.root),
        truth_root=without_effect(run.truth_root),
        files=run.photographs.truth_listing,
        code=run.code("truth"),
    message:
        "Gathering the known truth of {wildcards.category} {wildcards.split}"
    script:
        "../stages/truth.py"


tile_file = str if run.config.keep_tiles else temp


rule crop:
    input:
        index=run.made("index"),
    output:
        manifest=tile_file("out/{place}/10_tiles/{grid}/{category}/{split}.json"),
        tiles=tile_file("out/{place}/10_tiles/{grid}/{category}/{split}.npy"),
    log:
        run.log("crop"),
    benchmark:
        run.benchmark("crop")
    resources:
        mem_mb=run.memory("crop"),
    params:
        settings=run.settings("grid"),
        light_variants=run.settings("light_variants"),
        holdout=run.settings("holdout"),
        root=without_effect(run.root),
        code=run.code("crop"),
    message:
        "Cutting {wildcards.category} {wildcards.split} into tiles ({wildcards.grid})"
    script:
        "../stages/crop.py"
