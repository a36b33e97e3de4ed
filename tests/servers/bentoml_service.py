"""A BentoML service that monitors its predictions. BentoML runs it, in an environment of its own; no test does."""

from __future__ import annotations

import bentoml  # type: ignore[import-not-found]  # lives in the environment of its server


@bentoml.service(workers=1)
class Churn:
    """Gives the probability of churn by a rule, so that nothing but BentoML itself has to be installed."""

    @bentoml.api  # type: ignore[untyped-decorator]  # see above
    def predict(self, rows: list[dict[str, float | str | None]]) -> list[float]:
        """One probability per row."""
        answers = []
        with bentoml.monitor("churn") as monitor:
            for row in rows:
                probability = round(min(1.0, float(row["age"] or 0.0) / 100.0), 4)
                for name, kind in (("age", "numerical"), ("balance", "numerical"), ("plan", "categorical")):
                    monitor.log(row[name], name=name, role="feature", data_type=kind)
                monitor.log(int(probability >= 0.5), name="churns", role="prediction", data_type="categorical")
                monitor.log(probability, name="probability", role="prediction", data_type="numerical")
                answers.append(probability)
        return answers
