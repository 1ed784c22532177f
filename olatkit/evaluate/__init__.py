"""How good a relighting is: metrics, the pictures they are taken on, tables."""
