"""Learning the field line resonance models: data sets, training, evaluation, reports."""
