"""A BentoML service that monitors its predictions, as the real server writes them. Run by BentoML, not by the tests."""

from __future__ import annotations

import bentoml


@bentoml.service(workers=1)
class Churn:
    """Gives the probability of churn by a rule, so that nothing but BentoML itself has to be installed."""

    @bentoml.api
    def predict(self, rows: list[dict[str, float | str | None]]) -> list[float]:
        """One probability per row."""
        answers = []
        with bentoml.monitor("churn") as monitor:
            for row in rows:
                age = row["age"] or 0.0
                probability = round(min(1.0, float(age) / 100.0), 4)
                monitor.log(row["age"], name="age", role="feature", data_type="numerical")
                monitor.log(row["plan"], name="plan", role="feature", data_type="categorical")
                monitor.log(int(probability >= 0.5), name="churns", role="prediction", data_type="categorical")
                monitor.log(probability, name="probability", role="prediction", data_type="numerical")
                answers.append(probability)
        return answers
