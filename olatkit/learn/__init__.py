"""Shards to network: samples, the loader, augmentation."""
