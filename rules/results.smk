"""What is made of maps and masks: pictures, scores, the archive and the pages."""


rule pack:
    input:
        train=run.made("index", split="train"),
        validation=run.made("index", split="validation"),
        model=run.made("train"),
        weights=run.made("train", "model"),
        teacher_weights=run.made("distill", "weights"),
        maps=run.made("merge", split="validation"),
        fused=run.made("fuse", split="thresholds"),
        calibration=run.made("calibrate", split="thresholds"),
    output:
        manifest="out/{place}/85_bundles/{category}.json",
        bundle="out/{place}/85_bundles/{category}.seamark",
    log:
        run.log("pack"),
    benchmark:
        run.benchmark("pack")
    resources:
        mem_mb=run.memory("pack"),
    params:
        settings=run.settings("members"),
        merge=run.settings("merge"),
        fuse=run.settings("fuse"),
        binarize=run.settings("binarize"),
        refine=run.settings("refine"),
        verdict=run.settings("verdict"),
        run=run.name,
        code=run.code("pack"),
    message:
        "Packing the bundle of {wildcards.category}"
    script:
        "../stages/pack.py"


rule preview:
    input:
        index=run.made("index"),
        truth=run.made("truth"),
        maps=run.made("fuse"),
        calibration=run.made("calibrate", split="validation"),
        coarse=run.made("binarize"),
        refined=run.made("verdict"),
    output:
        manifest="out/{place}/80_preview/{category}/{split}.json",
        sheet=report(
            "out/{place}/80_preview/{category}/{split}/contact_sheet.jpg",
            caption="../captions/previews.rst",
            category="Previews",
            subcategory="{category}",
        ),
    log:
        run.log("preview"),
    benchmark:
        run.benchmark("preview")
    resources:
        mem_mb=run.memory("preview"),
    params:
        settings=run.settings("preview"),
        root=without_effect(run.root),
        truth_root=without_effect(run.truth_root),
        code=run.code("preview"),
    message:
        "Drawing previews of {wildcards.category} {wildcards.split}"
    script:
        "../stages/preview.py"


rule evaluate:
    input:
        index=run.made("index", split="every"),
        truth=run.made("truth", split="every"),
        maps=run.made("fuse", split="every"),
        calibration=run.if_ranked(run.made("calibrate", split="validation")),
        coarse=run.made("binarize", split="every"),
        refined=run.made("verdict", split="every"),
        verdicts=run.made("verdict", "verdicts", split="every"),
    output:
        manifest="out/{place}/90_eval/{category}.json",
        curves=report(
            "out/{place}/90_eval/{category}.curves.csv",
            caption="../captions/scores.rst",
            category="Scores",
            subcategory="{category}",
        ),
        table="out/{place}/90_eval/{category}.verdicts.csv",
    log:
        run.log("evaluate"),
    benchmark:
        run.benchmark("evaluate")
    resources:
        mem_mb=run.memory("evaluate"),
    params:
        settings=run.settings("evaluate"),
        grids=run.settings("grids"),
        ranking=run.settings("ranking"),
        root=without_effect(run.root),
        truth_root=without_effect(run.truth_root),
        code=run.code("evaluate"),
    message:
        "Scoring {wildcards.category} against the known truth"
    script:
        "../stages/evaluate.py"


rule package:
    input:
        index=run.made("index", split="all"),
        maps=run.within_rules(run.made("fuse", split="private")),
        calibration=run.if_ranked(run.made("calibrate", split="validation")),
        masks=run.made("verdict", split="private"),
    output:
        archive=f"submissions/{run.name}.tar.gz",
        check=f"submissions/{run.name}.check.json",
        provenance=f"submissions/{run.name}.provenance.json",
    log:
        run.log("package"),
    benchmark:
        run.benchmark("package")
    threads: 4
    resources:
        mem_mb=run.memory("package"),
    params:
        settings=run.settings("package"),
        ranking=run.settings("ranking"),
        run=run.name,
        root=without_effect(run.root),
        challenges=run.challenges,
        code=run.code("package"),
    message:
        "Writing and checking {output.archive}"
    script:
        "../stages/package.py"


rule report:
    input:
        inventory=run.made("inventory"),
        index=run.made("index", split="every"),
        fit=run.made("train"),
        calibration=run.made("calibrate", split="calibrated"),
        coarse=run.made("binarize", split="every"),
        refined=run.made("verdict", split="every"),
        verdicts=run.made("verdict", "verdicts", split="every"),
        evaluation=run.made("evaluate"),
        curves=run.made("evaluate", "curves"),
        preview=run.made("preview", split="every"),
        check=run.made("package", "check"),
    output:
        page=f"{RUN}/report/index.html",
        plots=f"{RUN}/report/plots/plots.json",
        scores=report(
            f"{RUN}/report/plots/scores.svg",
            caption="../captions/score_plot.rst",
            category="Scores",
        ),
        summary=report(
            f"{RUN}/90_eval/summary.csv",
            caption="../captions/scores.rst",
            category="Scores",
        ),
        verdicts=report(
            f"{RUN}/verdicts.csv",
            caption="../captions/verdicts.rst",
            category="Verdicts",
        ),
    log:
        run.log("report"),
    benchmark:
        run.benchmark("report")
    resources:
        mem_mb=run.memory("report"),
    params:
        settings=run.settings("report"),
        run=run.name,
        benchmarks=f"{RUN}/benchmarks",
        config=run.resolved_config(),
        code=run.code("report"),
    message:
        "Writing the report {output.page}"
    script:
        "../stages/report.py"


rule comparison:
    input:
        unpack(run.compared_files("compare")),
    output:
        page=f"{RUN}/comparison/index.html",
        table=report(
            f"{RUN}/comparison/table.csv",
            caption="../captions/comparison.rst",
            category="Comparison",
        ),
        markdown=f"{RUN}/comparison/table.md",
    log:
        run.log("comparison"),
    benchmark:
        run.benchmark("comparison")
    threads: 2
    resources:
        mem_mb=run.memory("comparison"),
    params:
        settings=run.comparison_settings(),
        title=f"{run.name} and others",
        runs=run.compared_rows("compare"),
        root=without_effect(run.root),
        truth_root=without_effect(run.truth_root),
        code=run.code("comparison"),
    message:
        "Writing the comparison {output.page}"
    script:
        "../stages/comparison.py"


use rule comparison as ablation with:
    input:
        unpack(run.compared_files("ablate")),
    output:
        page=f"{RUN}/ablation/index.html",
        table=report(
            f"{RUN}/ablation/table.csv",
            caption="../captions/comparison.rst",
            category="Comparison",
        ),
        markdown=f"{RUN}/ablation/table.md",
    log:
        run.log("ablation"),
    benchmark:
        run.benchmark("ablation")
    params:
        settings=run.comparison_settings(),
        title=f"{run.name}: ablation",
        runs=run.compared_rows("ablate"),
        root=without_effect(run.root),
        truth_root=without_effect(run.truth_root),
        code=run.code("comparison"),
    message:
        "Writing the ablation {output.page}"
