"""Trains the bundled weights: python -m generators.train_bundled --scenes DIR --out DIR --minutes 8 --seed 0

Renders the scene dumps on all cores while it trains, evaluates on held-out drives and writes a diffusers folder with a card.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from generators.training.bank import Bank
from generators.training.card import new_pipeline, save_checkpoint, write_card
from generators.training.evaluate import evaluate, score_table
from generators.training.loop import Trainer, train
from generators.training.losses import load_features
from generators.training.scenes import dump_files, jobs_of, render_all, render_view, training_jobs
from generators.training.settings import Settings

START = time.monotonic()


def say(text: str) -> None:
    """One line with the seconds since the start."""
    sys.stdout.write(f"[{time.monotonic() - START:6.1f} s] {text}\n")
    sys.stdout.flush()


def parsed(arguments: list[str] | None = None) -> tuple[Path, Path, Settings]:
    """(scenes, out, settings) of the command line; every setting is a flag."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="folder of *.json.gz scene dumps")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(field.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default)
        elif isinstance(field.default, tuple):
            parser.add_argument(flag, type=int, nargs="+", default=field.default)
        else:
            parser.add_argument(flag, type=type(field.default), default=field.default)
    given = vars(parser.parse_args(arguments))
    return given.pop("scenes"), given.pop("out"), Settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def main(arguments: list[str] | None = None) -> None:
    """The whole run; `--minutes` counts from the start to the end of training, evaluation comes on top."""
    import torch

    scenes, out, settings = parsed(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    name = torch.cuda.get_device_name() if device == "cuda" else "a CPU"
    train_files, test_files = dump_files(scenes, held_out=settings.held_out)
    features = load_features(device=device)
    say(f"{name}, torch {torch.__version__}, features: {features is not None}")
    say(f"{len(train_files)} training and {len(test_files)} held-out drives")
    tests = jobs_of(test_files, views=1)
    tests = tests[:: max(1, len(tests) // settings.evaluate_views)][: settings.evaluate_views]
    jobs = training_jobs(train_files, views=settings.views, seed=settings.seed)[: settings.capacity]
    views = [pictures for pictures, _ in render_all(tests, workers=settings.workers, make=render_view)]
    say(f"rendered {len(views)} held-out views")
    bank = Bank(len(jobs), device=device, height_px=views[0].shape[1], width_px=views[0].shape[2])
    bank.start(render_all(jobs, workers=settings.workers, make=render_view))
    bank.wait(settings.first_views)
    trainer = Trainer(settings, bank, features, device=device)
    say(f"{bank.filled} views in memory, training starts with {sum(p.numel() for p in trainer.net.parameters()) / 1e6:.2f} M parameters")
    train(trainer, end=START + 60 * settings.minutes, say=say, keep=lambda: save_checkpoint(trainer.mean, out))
    bank.stop()
    save_checkpoint(trainer.mean, out)
    say(f"saved {out} after {trainer.steps} steps")
    finish(trainer, out, views, device_name=name, drives=len(train_files))


def finish(trainer: Trainer, out: Path, views: list[Any], *, device_name: str, drives: int) -> None:
    """Evaluates the running mean and writes the card."""
    settings = trainer.settings
    minutes = (time.monotonic() - START) / 60
    rows = evaluate(
        new_pipeline(trainer.mean), views, trainer.features, device=trainer.device, chunk=156 if trainer.device == "cuda" else 13
    )
    say("held-out drives:\n" + score_table(rows))
    write_card(
        out, settings=settings, views=trainer.bank.filled, drives=drives, features="yes" if trainer.features else "no",
        train_steps=trainer.steps, pairs=trainer.steps * settings.batch, minutes=minutes, device=device_name,
        parameters=sum(p.numel() for p in trainer.mean.parameters()) / 1e6, held_out=settings.held_out,
        evaluated=len(views), table=score_table(rows),
    )  # fmt: skip
    say(f"wrote {out / 'README.md'}")


if __name__ == "__main__":
    main()
