"""The events of training and the base class of hooks, in `base`. The trainer knows no concrete hook."""
