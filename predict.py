"""Applies a trained predictor: ``python predict.py checkpoint=RUN input=SNAPSHOTS output=forecast.csv``.

``python predict.py --help`` says what the keys mean.
"""

from pathlib import Path

from foretrain.runtime.entry import launch

if __name__ == "__main__":
    launch("foretrain.runtime.run:predict", Path(__file__).parent / "conf", "predict")
