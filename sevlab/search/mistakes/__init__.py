"""Every mistake that is looked for, by what it is about. To add one, declare it in the module where it belongs."""
