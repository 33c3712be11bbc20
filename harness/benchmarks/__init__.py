"""What the harness gains over a plain training loop and over naive preparation of images, measured side by side."""
