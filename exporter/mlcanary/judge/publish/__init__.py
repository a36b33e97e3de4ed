"""What the judge shows: metrics, HTTP for pipelines, pages for people. Changes nothing."""
