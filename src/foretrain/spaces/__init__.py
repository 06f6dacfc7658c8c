"""What an architecture is: NAS-Bench-101, NAS-Bench-201, DARTS, any ``nn.Module``."""
