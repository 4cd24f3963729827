"""Callbacks for training loops: the net is exported and audited as it learns, and the course of dead units logged.

    from analyzer.callbacks.lightning import DeadUnits      # PyTorch Lightning
    from analyzer.callbacks.keras import DeadUnits          # Keras 3
    from analyzer.callbacks.transformers import DeadUnits   # Trainer of Hugging Face
    from analyzer.callbacks.recorder import Recorder        # any other loop

Each needs its framework, and none is loaded before it is asked for.
"""
