"""Photographs of one's own are not drawn, so this is included with the demo only."""


rule demo:
    output:
        manifest=f"{run.root}.json",
    log:
        run.log("demo"),
    benchmark:
        run.benchmark("demo")
    threads: 2
    resources:
        mem_mb=run.memory("demo"),
    params:
        settings=run.settings("demo"),
        root=without_effect(run.root),
        truth_root=without_effect(run.truth_root),
        code=run.code("demo"),
    message:
        "Drawing the demo photographs"
    script:
        "../stages/demo.py"
