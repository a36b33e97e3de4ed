"""A whole release on one machine: two model servers, traffic, a bug, a verdict, a proven rollback.

Guarantee: everything that takes part is the real thing, on loopback. Only the story is arranged.

    traffic ─► HAProxy ─90 %─► sample server v1 ─log─► exporter (baseline) ─┐
                  ▲    ─10 %─► sample server v2 ─log─► exporter (canary) ───┴─► Prometheus ─► Alertmanager
                  │                                              judge ◄─counters─┘ ▲            │
                  │                                                └─────verdict────┘            │
                  └────────────── weights ◄────────────── handler ◄───────────── webhook ◄───────┘

`training` makes the two models, `sample_server` serves one, `traffic` is the client with the labels,
`stack` starts and ends every process, `configuration` writes their files, `observation` reads what they
say, `scenario` tells the story, `timeline` and `screen` show it. Needs the extra `mlcanary[demo]`.
"""
