"""The shared state tool: values that branches, workflows and apps of one trace share."""
