"""What can be asked for by name; the first one is made when nothing is."""

from time import time


localrules:
    submission,
    report_page,
    evaluation,
    previews,
    masks,
    verdicts,
    maps,
    models,
    bundle,
    compare,
    ablate,
    plan,


rule submission:
    """Everything: archive, check, evaluation, previews and report."""
    input:
        run.archive,
    message:
        "Archive, report and everything on the way are there"


rule report_page:
    """The report, with everything that it shows."""
    input:
        run.report_files,
    message:
        "The report and everything on the way are there"


rule evaluation:
    """Scores on every split whose truth is known."""
    input:
        run.on_the_way("evaluate"),
    message:
        "Every known truth is compared"


rule previews:
    """Overlay strips and contact sheets."""
    input:
        run.on_the_way("preview"),
    message:
        "Every preview is drawn"


rule masks:
    """Final masks of every category and split."""
    input:
        run.on_the_way("verdict"),
    message:
        "Every mask is there"


rule verdicts:
    """Good, look or bad for every image, a table per category."""
    input:
        run.on_the_way("evaluate"),
    message:
        "Every image is judged"


rule maps:
    """Fused anomaly maps of every category and split."""
    input:
        run.on_the_way("fuse"),
    message:
        "Every anomaly map is there"


rule models:
    """Trained models of every category."""
    input:
        run.on_the_way("train"),
    message:
        "Every model is trained"


rule bundle:
    """One file per category with which `seamark inspect` judges new photographs."""
    input:
        run.bundles,
    message:
        "Every bundle is packed"


rule compare:
    """The page that compares the run with its variations and with other runs."""
    input:
        f"{RUN}/comparison/index.html",
        run.behind_rows("compare"),
    message:
        "The comparison {input[0]} and everything on the way are there"


rule ablate:
    """The page of the ablation."""
    input:
        f"{RUN}/ablation/index.html",
        run.behind_rows("ablate"),
    message:
        "The ablation {input[0]} and everything on the way are there"


rule plan:
    """What the target submission will take."""
    output:
        plan=f"{RUN}/plan.json",
        text=f"{RUN}/plan.txt",
    log:
        run.log("plan"),
    benchmark:
        run.benchmark("plan")
    resources:
        gpu=1,
        mem_mb=run.forecast.measuring,
    params:
        config=run.raw,
        project=without_effect(str(PROJECT)),
        limits=limits(workflow, run),
        asked_at=time(),
        code=run.code("plan"),
    message:
        "Measuring what the target submission will take"
    script:
        "../stages/plan.py"


rule verify:
    """Every artifact that is there, against its manifest and its provenance; makes nothing."""
    log:
        run.log("verify"),
    threads: 16
    resources:
        mem_mb=run.memory("verify"),
    params:
        run=run.name,
        root=without_effect(run.root),
        truth_root=without_effect(run.truth_root),
        demo=run.made("demo"),
        expected=run.expected,
    message:
        "Comparing every artifact with its manifest"
    script:
        "../stages/verify.py"
