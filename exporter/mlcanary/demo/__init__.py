"""A whole release on one machine: two model servers, traffic, a bug, a verdict, a proven rollback.

Guarantee: everything that takes part is the real thing, on loopback. Only the story is arranged.

    traffic ─► HAProxy ─90 %─► sample server v1 ─log─► exporter (baseline) ─┐
                  ▲    ─10 %─► sample server v2 ─log─► exporter (canary) ───┴─► Prometheus ─► Alertmanager
                  │                                              judge ◄─counters─┘ ▲            │
                  │                                                └─────verdict────┘            │
                  └────────────── weights ◄────────────── handler ◄───────────── webhook ◄───────┘

Two stories on the same processes: `rollback` (a canary with a tenth of the traffic goes bad) and `release` (a good
version goes from 1 % to all traffic under the judge, a bad one is stopped).

`training` makes the models, `sample_server` serves one, `smoke_test` and `traffic` are clients with the labels. `casts`
says who plays in a story, `configuration` writes the files, `processes` says how each part is started, `stack` starts
and ends them. `observation` and `witness` read what the parts say. `scenario` is what both stories share,
`rollback_story` and `release_story` tell them, `stories` plays one. `timeline`, `release_record` and
`release_timeline` are what happened as values, `verdict` and `release_promises` what was promised, `screen` shows it.
Needs the extra `mlcanary[demo]`.
"""
