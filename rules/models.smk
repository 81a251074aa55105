"""From tiles to models and raw scores: all that has a network."""


rule distill:
    input:
        demo=run.made("demo"),
    output:
        manifest="out/teachers/{teacher}/teacher.json",
        weights="out/teachers/{teacher}/teacher.safetensors",
    log:
        run.log("distill"),
    benchmark:
        run.benchmark("distill")
    priority: 40
    threads: run.threads("distill", GPUS)
    resources:
        gpu=1,
        mem_mb=run.memory("distill"),
    params:
        settings=run.teacher_settings,
        root=without_effect(run.root),
        layout=run.config.data.layout,
        train_images=run.config.data.train_images,
        image_px_max=without_effect(run.config.data.image_px_max),
        pixels=run.photographs.pixels,
        seed=run.config.seed,
        code=run.code("distill"),
    message:
        "Distilling the teacher {wildcards.teacher}"
    script:
        "../stages/distill.py"


rule train:
    input:
        teacher=run.made("distill"),
        teacher_weights=run.made("distill", "weights"),
        train=run.made("crop", split="train"),
        train_npy=run.made("crop", "tiles", "train"),
        validation=run.made("crop", split="validation"),
        validation_npy=run.made("crop", "tiles", "validation"),
    output:
        manifest="out/{place}/20_models/{detector}/{category}/fit.json",
        model="out/{place}/20_models/{detector}/{category}/model.safetensors",
    log:
        run.log("train"),
    benchmark:
        run.benchmark("train")
    priority: 30
    threads: run.threads("train", GPUS)
    resources:
        gpu=1,
        mem_mb=run.memory("train"),
    params:
        settings=run.settings("detector"),
        detector=run.detector_class,
        name="{detector}",
        seed=run.config.seed,
        code=run.code("train"),
    message:
        "Training {wildcards.detector} on {wildcards.category}"
    script:
        "../stages/train.py"


use rule train as train_fold with:
    output:
        manifest="out/{place}/20_models/{detector}/{category}/fold_{fold}/fit.json",
        model="out/{place}/20_models/{detector}/{category}/fold_{fold}/model.safetensors",
    log:
        run.log("train_fold"),
    benchmark:
        run.benchmark("train_fold")
    params:
        settings=run.settings("detector"),
        crossfit=run.settings("crossfit"),
        detector=run.detector_class,
        name="{detector}",
        seed=run.config.seed,
        code=run.code("train"),
    message:
        "Training {wildcards.detector} on {wildcards.category} without fold {wildcards.fold}"


rule infer:
    input:
        model=scoring_models(run.made("train"), run.made("train_fold")),
        weights=scoring_models(
            run.made("train", "model"), run.made("train_fold", "model")
        ),
        teacher=run.made("distill"),
        teacher_weights=run.made("distill", "weights"),
        tiles=run.made("crop"),
        tiles_npy=run.made("crop", "tiles"),
    output:
        manifest="out/{place}/30_tilemaps/{detector}/{category}/{split}.json",
        maps="out/{place}/30_tilemaps/{detector}/{category}/{split}.npy",
    log:
        run.log("infer"),
    benchmark:
        run.benchmark("infer")
    priority: 20
    threads: run.threads("infer", GPUS)
    resources:
        gpu=1,
        mem_mb=run.memory("infer"),
    params:
        settings=run.settings("detector"),
        detector=run.detector_class,
        name="{detector}",
        seed=run.config.seed,
        code=run.code("infer"),
    message:
        "Scoring the tiles of {wildcards.category} {wildcards.split} with {wildcards.detector}"
    script:
        "../stages/infer.py"
