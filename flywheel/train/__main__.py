"""`python -m flywheel.train`: trains and evaluates by hand and writes what came out as JSON to stdout."""

import argparse
import json
import sys

from flywheel.errors import FlywheelError
from flywheel.state import default_root
from flywheel.store import open_store
from flywheel.train.evaluate import evaluate_model
from flywheel.train.model import TrainConfig
from flywheel.train.run import train_model


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m flywheel.train", description=__doc__)
    parser.add_argument("--root", default=default_root(), help="a folder or s3://bucket/prefix")
    parser.add_argument("--dataset", default="rare-driving", help="NAME for its newest version, or NAME@v1")
    parser.add_argument("--steps", type=int, default=TrainConfig().steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=TrainConfig().threads)
    parser.add_argument("--real-only", action="store_true", help="train without synthetic samples (for comparing arms)")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Exit code: 0, or 1 with one line about what to do."""
    asked = arguments(words)
    config = TrainConfig(steps=asked.steps, seed=asked.seed, threads=asked.threads, use_synthetic=not asked.real_only)
    try:
        store = open_store(asked.root)
        model = train_model(store, asked.dataset, config=config)
        evaluation = evaluate_model(store, model)
    except FlywheelError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(
        json.dumps({"model": model.model_dump(mode="json"), "evaluation": evaluation.model_dump(mode="json")}, indent=2) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
