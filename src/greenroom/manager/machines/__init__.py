"""Machine pools: the plans of the Primary, and the calls of the providers of machines."""
