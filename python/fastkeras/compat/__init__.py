"""Other libraries' names over fastkeras: `import fastkeras.compat.tensorflow as tf` runs code written for tf.keras."""
